{{- define "r2mirror.labels" -}}
app.kubernetes.io/name: r2mirror
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "r2mirror.metadata-labels" -}}
{{ include "r2mirror.labels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The pod of a component: a dict of root, component (a key of the values) and args. */ -}}
{{- define "r2mirror.pod" -}}
{{- $values := .root.Values -}}
{{- $own := index $values .component -}}
metadata:
  labels:
    {{- include "r2mirror.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  annotations:
    # An edit of mirrors.yaml restarts what reads it.
    checksum/mirrors: {{ $values.mirrors | sha256sum }}
spec:
  serviceAccountName: {{ .root.Release.Name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  {{- if eq .component "apply" }}
  restartPolicy: Never
  {{- else if eq .component "watch" }}
  # Longer than the --grace of watch, 25 s.
  terminationGracePeriodSeconds: 40
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ $values.image.repository }}{{ if $values.image.digest }}@{{ $values.image.digest }}{{ else }}:{{ $values.image.tag | default .root.Chart.AppVersion }}{{ end }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{- toYaml (concat .args $own.args) | nindent 8 }}
      envFrom:
        - secretRef: {name: {{ $values.secret }}, optional: true}
      {{- if eq .component "serve" }}
      ports:
        - {name: http, containerPort: 5000}
      readinessProbe:
        httpGet: {path: /v2/, port: http}
      livenessProbe:
        tcpSocket: {port: http}
      {{- else if eq .component "watch" }}
      ports:
        - {name: metrics, containerPort: 9559}
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
      {{- end }}
      resources: {{- toYaml $own.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: mirrors, mountPath: /etc/r2mirror, readOnly: true}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: mirrors
      configMap: {name: {{ .root.Release.Name }}}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
  {{- with $values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
