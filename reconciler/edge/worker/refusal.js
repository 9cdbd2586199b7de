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
   * @param {string | null} retryAfter a Retry-After of its own
   */
  constructor(status, code, message, detail = null, retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryAfter = retryAfter ?? (status === 503 ? RETRY_AFTER : null);
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
  const { status, code, message, detail, retryAfter } = /** @type {Refusal} */ (error);
  const headers = new Headers({ "Content-Type": "application/json", "Cache-Control": "no-store" });
  if (status === 405) headers.set("Allow", "GET, HEAD");
  if (retryAfter) headers.set("Retry-After", retryAfter);
  return new Response(JSON.stringify({ errors: [{ code, message, detail }] }), { status, headers });
}
