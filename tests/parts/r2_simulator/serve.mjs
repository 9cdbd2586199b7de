// Serves Cloudflare's R2 simulator with the Worker in front of its first bucket, which counts pulls in the third:
// node serve.mjs MODULES WORKER PORT STATE ACCESS_KEY SECRET_KEY BUCKET...
// INSPECTOR_PORT in the environment opens the runtime's debugger; TEXTS has the Worker's variables and secrets, as JSON.
// MODULES is the folder whose node_modules holds miniflare, WORKER that of the Worker's modules, STATE one for the objects.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, worker, port, state, accessKeyId, secretAccessKey, ...buckets] = process.argv.slice(2);
const { Miniflare } = createRequire(join(modules, "package.json"))("miniflare");

const credentials = { accessKeyId, secretAccessKey };
const names = ["BUCKET", "OTHER", "COUNTS"];
const bindings = buckets.map((id, number) => [names[number], { id, s3Credentials: credentials }]);
const scripts = readdirSync(worker).filter((name) => name.endsWith(".js"));

const simulator = new Miniflare({
  // The first module is the one whose `fetch` is called.
  modules: ["worker.js", ...scripts.filter((name) => name !== "worker.js")].map((name) => ({
    type: "ESModule",
    path: join(worker, name),
  })),
  modulesRoot: worker,
  compatibilityDate: "2026-07-30",
  bindings: JSON.parse(process.env.TEXTS ?? "{}"),
  host: "127.0.0.1",
  port: Number(port),
  ...(process.env.INSPECTOR_PORT && { inspectorHost: "127.0.0.1", inspectorPort: Number(process.env.INSPECTOR_PORT) }),
  r2Persist: state,
  r2Buckets: Object.fromEntries(bindings),
});

// It ends its child on SIGTERM by itself.
await simulator.ready;
