/**
 * Counts which tags clients resolve and miss, as `r2mirror serve --count` does, in the objects of
 * `schema/pulls.schema.json`. Nothing about clients is counted or stored.
 *
 * An isolate has one object a day and writes it from time to time, so that isolates need not agree: a reader adds them up.
 * Each write is a class A operation of R2, so the pauses between them grow: an isolate writes 55 times a day at most. What it
 * counted since its last write is lost when it ends or the day does, so counts are lower bounds.
 */

/** Names that an isolate counts in a day: an object has 100 KiB with usual ones. */
const MAX_PULLED = 1000;
const MAX_MISSED = 200;
/** Milliseconds from a count to a write at least, and the pauses between two writes: each is twice the one before. */
const SOON = 1_000;
const FIRST_PAUSE = 20_000;
const LONGEST_PAUSE = 1_800_000;
/** Milliseconds for which a Worker may go on after its response: Cloudflare allows 30 seconds. */
const REACH = 25_000;
/** Clients ask for the signatures and referrers of each image by such tags: that they miss them says nothing. */
const ATTACHMENT = /^sha(?:256|512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?$/;

/** @typedef {Map<string, number>} Tally by `<repository>:<tag>` */

/** What this isolate counts. Its ID is drawn with the first count: there is no randomness before a request. */
const state = {
  writer: "",
  day: "",
  pause: FIRST_PAUSE,
  notBefore: 0,
  isPlanned: false,
  /** @type {Tally} */
  pulled: new Map(),
  /** @type {Tally} */
  missed: new Map(),
};

/**
 * Counts that a tag was resolved, which the mirror has or has not. Both names are parsed already.
 * @param {R2Bucket | undefined} bucket where counts are written; without it nothing is counted
 * @param {ExecutionContext} ctx
 * @param {string} name
 * @param {string} tag
 * @param {boolean} isThere
 */
export function count(bucket, ctx, name, tag, isThere) {
  if (!bucket || ATTACHMENT.test(tag)) return;
  const now = Date.now();
  const day = new Date(now).toISOString().slice(0, 10);
  if (state.day !== day) begin(day);
  add(isThere ? state.pulled : state.missed, `${name}:${tag}`, isThere ? MAX_PULLED : MAX_MISSED);
  const wait = Math.max(SOON, state.notBefore - now);
  if (state.isPlanned || wait > REACH) return;
  state.isPlanned = true;
  ctx.waitUntil(writeAfter(wait, bucket));
}

/** @param {string} day */
function begin(day) {
  state.writer ||= crypto.randomUUID();
  state.day = day;
  state.pulled = new Map();
  state.missed = new Map();
}

/**
 * Counts a name. When a new one finds no place, every count is reduced by one (Misra and Gries 1982): a name is then short
 * by one in `limit` of all requests at most, whatever names clients invent.
 * @param {Tally} tally
 * @param {string} key
 * @param {number} limit
 */
function add(tally, key, limit) {
  const known = tally.get(key);
  if (known !== undefined || tally.size < limit) {
    tally.set(key, (known ?? 0) + 1);
    return;
  }
  for (const [other, number] of tally) {
    if (number > 1) tally.set(other, number - 1);
    else tally.delete(other);
  }
}

/**
 * Writes what was counted until then. The response does not wait for it, and waiting takes no CPU time.
 * @param {number} wait
 * @param {R2Bucket} bucket
 */
async function writeAfter(wait, bucket) {
  try {
    await scheduler.wait(wait);
    await bucket.put(`_mirror/pulls/${state.day}/${state.writer}.json`, written(), {
      httpMetadata: { contentType: "application/json", cacheControl: "no-store" },
    });
  } catch (error) {
    console.warn("the counts of pulls were not written:", error);
  } finally {
    state.isPlanned = false;
    state.notBefore = Date.now() + state.pause;
    state.pause = Math.min(2 * state.pause, LONGEST_PAUSE);
  }
}

function written() {
  return JSON.stringify({ version: 1, day: state.day, pulled: nested(state.pulled), missed: nested(state.missed) });
}

/** @param {Tally} tally */
function nested(tally) {
  /** @type {Map<string, Map<string, number>>} */
  const found = new Map();
  for (const [key, number] of tally) {
    // A tag has no colon, and neither has a name.
    const [name = "", tag = ""] = key.split(":");
    const tags = found.get(name) ?? new Map();
    found.set(name, tags.set(tag, number));
  }
  return Object.fromEntries([...found].map(([name, tags]) => [name, Object.fromEntries(tags)]));
}
