/**
 * A read-only registry in front of an R2 bucket that r2mirror fills, as a Cloudflare Worker.
 *
 * It answers as `r2mirror serve` does: a path becomes a parsed name and reference, these become a key of the bucket, and
 * the object at the key becomes the response. Keys are built only from what was parsed, so that no other object of the
 * bucket can be requested. Requests go one way: `route` (pure), `respond` (reads the bucket), `finished` (headers).
 *
 * Sources: OCI distribution specification 1.1 (pull, content discovery, referrers, error codes), RFC 9110 (sections 8.8, 13,
 * 14) for conditional requests and ranges, RFC 8288 for Link.
 */

import { gate, guardOf } from "./access.js";
import { count } from "./counts.js";
import { DIGEST, MAX_MANIFEST, digestOf, remember, withDigest } from "./digest.js";
import { redirected, sourceOf, urlOf } from "./on_miss.js";
import { blobOf, manifestOf } from "./proxied.js";
import { Refusal, refused } from "./refusal.js";

/**
 * COUNTS is the bucket for counts of pulls; without it nothing is counted. ON_MISS is for `sourceOf`.
 * @typedef {{ BUCKET: R2Bucket, COUNTS?: R2Bucket, ON_MISS?: string }} Env
 *
 * What a request asks for.
 * @typedef {{ kind: "ping" } | { kind: "page" } | { kind: "catalog" } | { kind: "tags", name: string } | Referrers | Manifest | Blob} Route
 * @typedef {{ kind: "manifest", name: string, reference: string, isDigest: boolean }} Manifest
 * @typedef {{ kind: "blob", name: string, digest: string }} Blob
 * @typedef {{ kind: "referrers", name: string, digest: string }} Referrers
 *
 * A request that was routed, and what it takes to answer it.
 * @typedef {{ request: Request, url: URL, env: Env, ctx: ExecutionContext }} Exchange
 */

const MAX_LIST = 8 * 1024 * 1024;
/** Bytes. Cloudflare caches no larger object on the Free, Pro and Business plans. */
const MAX_CACHED = 512 * 1024 * 1024;
const MAX_NAME = 255;
/** Milliseconds for which an isolate remembers what may change. */
const REMEMBERED_FOR = 60_000;

const FOREVER = "public, max-age=31536000, immutable, no-transform";
const FRESH = "no-cache, no-transform";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const JSON_TYPE = "application/json";
/** @type {Record<string, unknown>} */
const EMPTY_INDEX = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };

const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const RANGE = /^bytes=[ \t]*([0-9]{0,15})-([0-9]{0,15})[ \t]*$/;
const COUNT = /^[0-9]{1,15}$/;
/** Path components that a repository of a mirror cannot have: with them, one key could be read in two ways. */
const RESERVED = new Set(["manifests", "blobs", "tags", "referrers"]);

/** @type {ExportedHandler<Env>} */
export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    try {
      if (request.method !== "GET" && request.method !== "HEAD") {
        throw new Refusal(405, "UNSUPPORTED", "this registry is read-only");
      }
      const path = decoded(url.pathname);
      const guard = guardOf(env);
      const token = guard && (await gate(guard, request, url, path, Math.floor(Date.now() / 1000)));
      if (token) return finished(request, token);
      const answer = await respond(route(path), { request, url, env, ctx });
      return finished(request, guard ? forOneClient(answer) : answer);
    } catch (error) {
      return finished(request, refused(error));
    }
  },
};

/**
 * Lets no cache that others use keep an answer: `public` would allow it even for requests with a token (RFC 9111, 3.5).
 * @param {Response} answer
 */
function forOneClient(answer) {
  const headers = new Headers(answer.headers);
  headers.set("Cache-Control", headers.get("Cache-Control")?.replace("public", "private") ?? "no-store");
  return new Response(answer.body, { status: answer.status, headers });
}

/** @param {string} pathname */
function decoded(pathname) {
  try {
    return decodeURIComponent(pathname);
  } catch {
    throw noPath();
  }
}

function noPath() {
  return new Refusal(404, "UNSUPPORTED", "not a path of the registry API");
}

/**
 * Parses a path. Throws `Refusal` unless it is one of the registry's, or the catalog page's, with a valid name and reference.
 * @param {string} path
 * @returns {Route}
 */
function route(path) {
  switch (path) {
    case "/":
    case "/index.html":
      return { kind: "page" };
    case "/v2":
    case "/v2/":
    // To which a rule rewrites /v2/ before the Worker has it, as long as the rules are there too.
    case "/v2/_ping":
      return { kind: "ping" };
    case "/v2/_catalog":
      return { kind: "catalog" };
  }
  const parts = path.split("/");
  // From the end: names have any number of components; what is asked for and its reference are always the last two.
  const [kind, reference] = parts.slice(-2);
  const name = parts.slice(2, -2).join("/");
  if (parts[0] !== "" || parts[1] !== "v2" || !name || !reference) throw noPath();
  switch (kind) {
    case "tags":
      if (reference !== "list") throw noPath();
      return { kind, name: parsedName(name) };
    case "manifests":
      return parsedManifest(parsedName(name), reference);
    case "blobs":
      return { kind: "blob", name: parsedName(name), digest: parsedDigest(reference) };
    case "referrers":
      return { kind, name: parsedName(name), digest: parsedDigest(reference) };
    default:
      throw noPath();
  }
}

/** @param {string} name */
function parsedName(name) {
  if (name.length > MAX_NAME || !NAME.test(name)) {
    throw new Refusal(400, "NAME_INVALID", "not a valid repository name", { name: name.slice(0, MAX_NAME) });
  }
  // Valid by the specification, but no mirror has it.
  if (name.split("/").some((component) => RESERVED.has(component))) throw nameUnknown(name);
  return name;
}

/** @param {string} text */
function parsedDigest(text) {
  if (DIGEST.test(text)) return text;
  const why = "expected sha256:<64 hex digits> or sha512:<128 hex digits>";
  throw new Refusal(400, "DIGEST_INVALID", why, { digest: text.slice(0, 200) });
}

/**
 * @param {string} name
 * @param {string} reference
 * @returns {Manifest}
 */
function parsedManifest(name, reference) {
  if (reference.includes(":")) return { kind: "manifest", name, reference: parsedDigest(reference), isDigest: true };
  // 404 like a missing tag, not 400: the specification's conformance suite requires it.
  if (!TAG.test(reference)) throw manifestUnknown(name, reference.slice(0, 200));
  return { kind: "manifest", name, reference, isDigest: false };
}

/** @param {string} name */
function nameUnknown(name) {
  return new Refusal(404, "NAME_UNKNOWN", "repository name not known to registry", { name });
}

/**
 * @param {string} name
 * @param {string} reference
 */
function manifestUnknown(name, reference) {
  return new Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown to registry", { name, reference });
}

/**
 * @param {Route} asked
 * @param {Exchange} exchange
 * @returns {Promise<Response>}
 */
async function respond(asked, exchange) {
  switch (asked.kind) {
    case "ping":
      return new Response("{}", { headers: fields(JSON_TYPE, FRESH, '"ping"') });
    case "page":
      return page(exchange);
    case "catalog":
      return listed(exchange, "v2/_catalog", "repositories", () => null);
    case "tags":
      return listed(exchange, `v2/${asked.name}/tags/list`, "tags", () => nameUnknown(asked.name));
    case "referrers":
      return referrers(asked, exchange);
    case "manifest":
      return orElsewhere(asked.isDigest ? manifestByDigest(asked, exchange) : manifestByTag(asked, exchange), asked, exchange);
    case "blob":
      return orElsewhere(blob(asked, exchange), asked, exchange);
  }
}

/**
 * The answer, or what `edge.on_miss` has in the place of a 404.
 * @param {Promise<Response>} answer
 * @param {Manifest | Blob} asked
 * @param {Exchange} exchange
 */
async function orElsewhere(answer, asked, { request, env }) {
  try {
    return await answer;
  } catch (error) {
    const source = error instanceof Refusal && error.status === 404 ? sourceOf(env.ON_MISS, asked.name) : null;
    if (!source) throw error;
    if (source.limit !== undefined) {
      const response = await proxied(source, asked, request);
      if (response) return response;
      throw error;
    }
    const rest = asked.kind === "blob" ? `blobs/${asked.digest}` : `manifests/${asked.reference}`;
    return redirected(`${urlOf(source, asked.name)}/${rest}`);
  }
}

/**
 * @param {import("./on_miss.js").Source} source
 * @param {Manifest | Blob} asked
 * @param {Request} request
 */
function proxied(source, asked, request) {
  if (asked.kind === "manifest") return manifestOf(source, asked, request);
  const range = rangeOf(request, `"${asked.digest}"`);
  return blobOf(source, asked, request, range && spelled(range));
}

/** @param {Exchange} exchange */
async function page({ env }) {
  const found = await env.BUCKET.get("index.html");
  if (!found) throw new Refusal(404, "UNSUPPORTED", "there is no catalog page; the registry is under /v2/");
  return new Response(found.body, { headers: objectFields(found, "text/html; charset=utf-8", FRESH) });
}

/**
 * A published list: as it is stored, or the page of it that the request asks for.
 * @param {Exchange} exchange
 * @param {string} key
 * @param {"repositories" | "tags"} field
 * @param {() => Refusal | null} missing what a missing list means; null for an empty one
 */
async function listed({ env, url }, key, field, missing) {
  const n = url.searchParams.get("n");
  const last = url.searchParams.get("last");
  const found = await env.BUCKET.get(key);
  if (!found) {
    const refusal = missing();
    if (refusal) throw refusal;
    return json({ [field]: [] }, fields(JSON_TYPE, FRESH, '"empty"'));
  }
  if (n !== null && !COUNT.test(n)) {
    throw new Refusal(400, "UNSUPPORTED", "n has to be a non-negative integer", { n: n.slice(0, 200) });
  }
  const headers = objectFields(found, JSON_TYPE, FRESH);
  if (n === null && last === null) return new Response(found.body, { headers });
  const document = await parsed(found, MAX_LIST);
  const entries = document[field];
  if (!isList(entries, isText)) throw damaged(found, `has no list of ${field}`);
  const { shown, following } = selected(entries, n, last);
  if (following) headers.set("Link", `<${url.pathname}?${following}>; rel="next"`);
  headers.set("ETag", `"${found.etag}?${new URLSearchParams({ n: n ?? "", last: last ?? "" })}"`);
  return json({ ...document, [field]: shown }, headers);
}

/**
 * Selects the `n` entries after `last`, and the query for the page after them; "" on the last one. `n=0` has none, as the
 * specification requires: there is no last entry to continue after.
 * @param {string[]} entries in ASCII order, as they are published
 * @param {string | null} n
 * @param {string | null} last
 */
function selected(entries, n, last) {
  const after = last === null ? entries : entries.filter((entry) => entry > last);
  const shown = n === null ? after : after.slice(0, Number(n));
  const end = shown.at(-1);
  if (n === null || end === undefined || shown.length === after.length) return { shown, following: "" };
  return { shown, following: String(new URLSearchParams({ n, last: end })) };
}

/**
 * @param {Referrers} asked
 * @param {Exchange} exchange
 */
async function referrers({ name, digest }, { env, url }) {
  const found = await env.BUCKET.get(`v2/${name}/referrers/${digest}`);
  const wanted = url.searchParams.get("artifactType");
  if (found && !wanted) return new Response(found.body, { headers: objectFields(found, OCI_INDEX, FRESH) });
  // 404 tells a client that this registry has no referrers API. So a digest without referrers gets an empty list, and a
  // repository whose referrers are not mirrored gets 404: an empty list would state that nothing is attached.
  if (!found && !(await mirrorsReferrers(env, name))) {
    throw new Refusal(404, "UNSUPPORTED", "referrers of this repository are not mirrored", { name });
  }
  const index = found ? await parsed(found, MAX_MANIFEST) : EMPTY_INDEX;
  const etag = found ? found.etag : "empty";
  if (!wanted) return json(index, fields(OCI_INDEX, FRESH, `"${etag}"`));
  const { manifests } = index;
  if (!isList(manifests, isObject)) throw damaged(/** @type {R2Object} */ (found), "has no list of manifests");
  const headers = fields(OCI_INDEX, FRESH, `"${etag}?${encodeURIComponent(wanted)}"`);
  headers.set("OCI-Filters-Applied", "artifactType");
  return json({ ...index, manifests: manifests.filter((entry) => entry.artifactType === wanted) }, headers);
}

/** @type {Map<string, { answer: boolean, until: number }>} */
const referrersMirrored = new Map();

/**
 * Whether the repository has any list of referrers. A listing costs ten times what a read does, so it is remembered.
 * @param {Env} env
 * @param {string} name
 */
async function mirrorsReferrers(env, name) {
  const known = referrersMirrored.get(name);
  if (known && known.until > Date.now()) return known.answer;
  const { objects } = await env.BUCKET.list({ prefix: `v2/${name}/referrers/`, limit: 1 });
  const answer = objects.length > 0;
  remember(referrersMirrored, name, { answer, until: Date.now() + REMEMBERED_FOR });
  return answer;
}

/** @type {Map<string, string>} digests by the version of an object, which R2 gives to each upload */
const digests = new Map();

/**
 * @param {Manifest} asked
 * @param {Exchange} exchange
 */
async function manifestByTag({ name, reference }, { env, ctx }) {
  const found = await env.BUCKET.get(`v2/${name}/manifests/${reference}`);
  count(env.COUNTS, ctx, name, reference, found !== null);
  if (!found) throw manifestUnknown(name, reference);
  // Read as a whole, so that its length is sent for sure: Docker refuses a digest without one.
  const body = await bounded(found, MAX_MANIFEST);
  const known = digestStored(found) ?? digests.get(found.version);
  const digest = known ?? (await digestOf(body, "sha256"));
  if (!known) remember(digests, found.version, digest);
  return new Response(body, { headers: manifestFields(found, digest, FRESH) });
}

/**
 * The digest that `edge.digest_by_tag` stores with a tag, in a header that has no other use.
 * @param {R2Object} object
 */
function digestStored(object) {
  const stored = object.httpMetadata?.contentLanguage ?? "";
  return DIGEST.test(stored) ? stored : undefined;
}

/**
 * A manifest is small enough to be checked before it is cached for a year. Blobs are not: clients hash them.
 * @param {Manifest} asked
 * @param {Exchange} exchange
 */
async function manifestByDigest({ name, reference }, { url, env, ctx }) {
  const key = `v2/${name}/manifests/${reference}`;
  const cached = await caches.default.match(cacheKey(url, key));
  if (cached) return cached;
  const found = await env.BUCKET.get(key);
  if (!found) throw manifestUnknown(name, reference);
  const body = await bounded(found, MAX_MANIFEST);
  if ((await digestOf(body, reference.slice(0, 6))) !== reference) throw damaged(found, "does not match its digest");
  const headers = manifestFields(found, reference, FOREVER);
  ctx.waitUntil(caches.default.put(cacheKey(url, key), new Response(body, { headers })));
  return new Response(body, { headers });
}

/**
 * @param {Blob} asked
 * @param {Exchange} exchange
 */
async function blob({ name, digest }, exchange) {
  const { request, url, env } = exchange;
  const key = `v2/${name}/blobs/${digest}`;
  const etag = `"${digest}"`;
  const range = rangeOf(request, etag);
  const cached = await caches.default.match(cacheKey(url, key, range && spelled(range)));
  if (cached) return cached;
  return range ? partOfBlob(env, key, digest, range) : wholeBlob(exchange, key, digest);
}

/**
 * @param {Exchange} exchange
 * @param {string} key
 * @param {string} digest
 */
async function wholeBlob({ request, url, env, ctx }, key, digest) {
  if (request.method === "HEAD") {
    const found = await env.BUCKET.head(key);
    if (!found) throw blobUnknown(key);
    return new Response(null, { headers: blobFields(found, digest) });
  }
  const found = await env.BUCKET.get(key);
  if (!found) throw blobUnknown(key);
  const headers = blobFields(found, digest);
  if (found.size <= MAX_CACHED) ctx.waitUntil(fillCache(env, cacheKey(url, key), key, headers));
  return new Response(found.body, { headers });
}

/**
 * @param {Env} env
 * @param {string} key
 * @param {string} digest
 * @param {Range} range
 */
async function partOfBlob(env, key, digest, range) {
  const object = await env.BUCKET.head(key);
  if (!object) throw blobUnknown(key);
  const headers = blobFields(object, digest);
  if (object.size === 0) return new Response(null, { headers });
  const part = partOf(range, object.size);
  if (!part) return new Response(null, { status: 416, headers: { "Content-Range": `bytes */${object.size}` } });
  const found = await env.BUCKET.get(key, { range: part });
  if (!found) throw blobUnknown(key);
  headers.set("Content-Range", `bytes ${part.offset}-${part.offset + part.length - 1}/${object.size}`);
  headers.set("Content-Length", String(part.length));
  return new Response(found.body, { status: 206, headers });
}

/** @param {string} key */
function blobUnknown(key) {
  const [name, digest] = key.slice("v2/".length).split("/blobs/");
  return new Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry", { name, digest });
}

/** @type {Set<string>} */
const beingCached = new Set();

/**
 * Reads the blob a second time for the cache: two readers of one stream would keep in memory what the slower one lacks.
 * @param {Env} env
 * @param {Request} cached
 * @param {string} key
 * @param {Headers} headers
 */
async function fillCache(env, cached, key, headers) {
  if (beingCached.has(key)) return;
  beingCached.add(key);
  try {
    const found = await env.BUCKET.get(key);
    if (found) await caches.default.put(cached, new Response(found.body, { headers }));
  } catch (error) {
    console.warn("not cached:", error);
  } finally {
    beingCached.delete(key);
  }
}

/**
 * The key of the cache, without the query: it changes nothing by digest. No request has this path, so that what the cache
 * has from the bucket's own domain, without these headers, is never taken for it.
 * @param {URL} url
 * @param {string} key
 * @param {string | null} range
 */
function cacheKey(url, key, range = null) {
  return new Request(`${url.origin}/worker/${key}`, range ? { headers: { Range: range } } : {});
}

/** @typedef {{ first: number, last: number | null } | { suffix: number }} Range */

/**
 * The range of a blob with this ETag that a request asks for; null for the whole blob.
 * @param {Request} request
 * @param {string} etag
 */
function rangeOf({ method, headers }, etag) {
  // If-Range compares strongly (RFC 9110, 13.1.5); a date never matches here, and the whole blob is sent. A client that has
  // the blob gets 304 whatever part of it is asked for.
  const isSame = (headers.get("If-Range") ?? etag) === etag && !isKnown(headers, etag);
  return method === "GET" && isSame ? parsedRange(headers.get("Range")) : null;
}

/**
 * Parses a Range header. Null for the whole blob: if it is malformed or in another unit, and for several ranges, which a
 * server need not support (RFC 9110, 14.2).
 * @param {string | null} header
 * @returns {Range | null}
 */
function parsedRange(header) {
  const [, first, last] = RANGE.exec(header ?? "") ?? [];
  if (first) return last && Number(last) < Number(first) ? null : { first: Number(first), last: last ? Number(last) : null };
  if (!last) return null;
  // No blob has a last part of no bytes, which a cache may take for the whole.
  return Number(last) ? { suffix: Number(last) } : { first: Number.MAX_SAFE_INTEGER, last: null };
}

/** @param {Range} range */
function spelled(range) {
  return "suffix" in range ? `bytes=-${range.suffix}` : `bytes=${range.first}-${range.last ?? ""}`;
}

/**
 * The part of `size` bytes that is asked for; null if it has none of them.
 * @param {Range} range
 * @param {number} size
 */
function partOf(range, size) {
  const offset = "suffix" in range ? Math.max(0, size - range.suffix) : range.first;
  const end = "suffix" in range || range.last === null ? size : Math.min(size, range.last + 1);
  return offset < end ? { offset, length: end - offset } : null;
}

/**
 * @param {string} contentType
 * @param {string} cacheControl
 * @param {string} etag
 */
function fields(contentType, cacheControl, etag) {
  return new Headers({ "Content-Type": contentType, "Cache-Control": cacheControl, ETag: etag });
}

/**
 * @param {R2Object} object
 * @param {string} contentType
 * @param {string} cacheControl
 */
function objectFields(object, contentType, cacheControl) {
  const headers = fields(contentType, cacheControl, object.httpEtag);
  headers.set("Content-Length", String(object.size));
  headers.set("Last-Modified", object.uploaded.toUTCString());
  return headers;
}

/**
 * @param {R2Object} object
 * @param {string} digest
 * @param {string} cacheControl
 */
function manifestFields(object, digest, cacheControl) {
  const headers = objectFields(object, object.httpMetadata?.contentType ?? "application/octet-stream", cacheControl);
  return withDigest(headers, digest);
}

/**
 * @param {R2Object} object
 * @param {string} digest
 */
function blobFields(object, digest) {
  const headers = objectFields(object, "application/octet-stream", FOREVER);
  headers.set("Accept-Ranges", "bytes");
  return withDigest(headers, digest);
}

/**
 * The response as it goes out: 304 if the client has it, no body for HEAD.
 * @param {Request} request
 * @param {Response} response
 */
function finished(request, response) {
  const { body } = response;
  const headers = new Headers(response.headers);
  headers.set("Docker-Distribution-API-Version", "registry/2.0");
  const isUnchanged = response.ok && isCurrent(request.headers, headers);
  if (!isUnchanged && request.method !== "HEAD") return new Response(body, { status: response.status, headers });
  body?.cancel();
  if (isUnchanged) headers.delete("Content-Length");
  return new Response(null, { status: isUnchanged ? 304 : response.status, headers });
}

/**
 * Whether a client that sends these headers has the response already (RFC 9110, 13.2.2).
 * @param {Headers} asked
 * @param {Headers} answered
 */
function isCurrent(asked, answered) {
  if (asked.has("If-None-Match")) return isKnown(asked, answered.get("ETag"));
  const since = Date.parse(asked.get("If-Modified-Since") ?? "");
  // False if either is not a date.
  return Date.parse(answered.get("Last-Modified") ?? "") <= since;
}

/**
 * Whether If-None-Match names the ETag. It compares weakly: a proxy that compresses adds W/.
 * @param {Headers} asked
 * @param {string | null} etag
 */
function isKnown(asked, etag) {
  const known = asked.get("If-None-Match") ?? "";
  return known.trim() === "*" || known.match(/"[^"]*"/g)?.some((one) => one === etag) === true;
}

/**
 * @param {R2ObjectBody} object
 * @param {number} limit
 */
async function bounded(object, limit) {
  if (object.size <= limit) return object.arrayBuffer();
  object.body.cancel();
  throw damaged(object, `has ${object.size} bytes, more than ${limit}`);
}

/**
 * @param {R2ObjectBody} object
 * @param {number} limit
 * @returns {Promise<Record<string, unknown>>}
 */
async function parsed(object, limit) {
  const body = await bounded(object, limit);
  try {
    const document = JSON.parse(new TextDecoder().decode(body));
    if (isObject(document)) return document;
  } catch {
    // Answered below.
  }
  throw damaged(object, "is not a JSON object");
}

/**
 * @template Entry
 * @param {unknown} value
 * @param {(entry: unknown) => entry is Entry} isEntry
 * @returns {value is Entry[]}
 */
function isList(value, isEntry) {
  return Array.isArray(value) && value.every(isEntry);
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @returns {value is string}
 */
function isText(value) {
  return typeof value === "string";
}

/**
 * @param {unknown} document
 * @param {Headers} headers
 */
function json(document, headers) {
  const body = new TextEncoder().encode(JSON.stringify(document));
  headers.set("Content-Length", String(body.length));
  return new Response(body, { headers });
}

/**
 * @param {R2Object} object
 * @param {string} why
 */
function damaged(object, why) {
  console.error(`${object.key} ${why}. Run \`r2mirror verify --repair\` to restore it`);
  return new Refusal(500, "MANIFEST_INVALID", "the stored object is damaged; see the operator's log");
}
