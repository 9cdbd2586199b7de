/** What the registry answers in the place of what was asked for, in the specification's form. */

/** Seconds. */
const RETRY_AFTER = "10";

/** An error that is answered in the specification's form. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} code one of the specification's, or UNAVAILABLE
   * @param {string} message
   * @param {unknown} detail
   * @param {Record<string, string>} headers
   */
  constructor(status, code, message, detail = null, headers = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.headers = headers;
  }
}

/**
 * Answers an error. What the bucket or this program throws is for the operator's log: clients learn nothing about it.
 * @param {unknown} error
 */
export function refused(error) {
  if (!(error instanceof Refusal)) {
    console.error(error);
    error = new Refusal(503, "UNAVAILABLE", "the registry's storage does not answer; see the operator's log");
  }
  const { status, code, message, detail, headers } = /** @type {Refusal} */ (error);
  const sent = new Headers({ "Cache-Control": "no-store", ...headers });
  if (status === 405) sent.set("Allow", "GET, HEAD");
  if (status === 503) sent.set("Retry-After", RETRY_AFTER);
  return Response.json({ errors: [{ code, message, detail }] }, { status, headers: sent });
}
