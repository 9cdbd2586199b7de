"""Triggers of `watch`: a push upstream, or a request, makes it check the mirrors concerned at once; and its port.

    port        the endpoints: /healthz, /readyz, /metrics, /run and /hooks/<kind> (Starlette)
    gathering   joins the triggers of a second into one run
    bodies      reads bodies, with a limit of their size, time and number
    buckets     limits the rate of triggers
    secrets     the secrets of the environment, and how a request proves that it knows one; pure
    formats     what each kind of webhook says was pushed; pure
    payload     reads the fields of a payload with their types and bounds; pure
    hints       what was pushed, and which mirrors that concerns; pure

A payload is a hint, not an order: it selects mirrors of the file, whose sources are then resolved as in any other run.
Nothing else in it is used, so that a forged one costs requests at most.
"""
