/**
 * Fetches what the mirror lacks from its source, for `mode: proxy` of `edge.on_miss`. It is sent on and stored nowhere, neither
 * in the bucket nor in a cache.
 *
 * The source is not trusted. Manifests are bounded, and hashed before they are sent; blobs are streamed, and clients hash
 * them. Nothing of a client's request is sent to the source but the path, Accept and the range. Where the source wants a
 * token, an anonymous one is fetched, only from the servers that mirrors.yaml allows, and sent to the source alone.
 *
 * Sources: OCI distribution specification 1.1; the distribution project's token authentication (docs/spec/auth/token.md).
 */

import { DIGEST, MAX_MANIFEST, digestOf, remember, withDigest } from "./digest.js";
import { urlOf } from "./on_miss.js";
import { Refusal } from "./refusal.js";

/**
 * @typedef {import("./on_miss.js").Source} Source
 *
 * What is sent to a source: `range` is a Range header that was parsed. `here` is this registry's host.
 * @typedef {{ method: string, accept: string | null, range: string | null, here: string }} Wanted
 * @typedef {{ response: Response, at: URL }} Answered
 */

/** Milliseconds until the headers of a blob, or all of a manifest, redirects and the token included. */
const PATIENCE = 20_000;
const MAX_REDIRECTS = 5;
const MAX_TOKEN = 64 * 1024;
const MAX_HEADER = 8192;
const MINUTE = 60_000;
/** Seconds: the lifetime of a token that states none, and how long before its end it is renewed. */
const LIFETIME = 60;
const MARGIN = 10;
const MAX_LIFETIME = 86_400;

/** For clients that accept whatever there is: some registries take a missing Accept for one of the oldest format. */
const EVERY_TYPE = ["oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.list.v2", "docker.distribution.manifest.v2"]
  .map((name) => `application/vnd.${name}+json`)
  .join(", ");
/** No page that a browser would show: it would be one of this host. */
const MANIFEST_TYPE = /^application\/(?:[a-z0-9.-]{1,100}\+)?(?:json|prettyjws)$/;
const BEARER = /(?:^|, *)bearer +((?:[a-z_]+="[^"\\]*"(?:, *|$))+)/i;
const PARAMETER = /([a-z_]+)="([^"\\]*)"/gi;
const SCOPE = /^repository(?:\([a-z]{1,20}\))?:[a-z0-9][a-z0-9._/-]{0,254}:pull$/;
const TOKEN = /^[!-~]{1,16384}$/;
const LENGTH = /^[0-9]{1,15}$/;
const CONTENT_RANGE = /^bytes (?:[0-9]{1,15}-[0-9]{1,15}\/[0-9]{1,15}|\*\/[0-9]{1,15})$/;
const RETRY_AFTER = /^(?:[0-9]{1,6}|[A-Za-z]{3}, [0-9A-Za-z :]{10,30})$/;

/**
 * A manifest of the source; null if it has none.
 * @param {Source} source
 * @param {{ name: string, reference: string, isDigest: boolean }} asked
 * @param {Request} request
 */
export function manifestOf(source, { name, reference, isDigest }, { method, headers, url }) {
  const accept = headers.get("Accept")?.slice(0, MAX_HEADER) ?? EVERY_TYPE;
  const wanted = { method, accept, range: null, here: new URL(url).host };
  return inTime(async (signal) => {
    const response = await found(source, urlOf(source, name), `manifests/${reference}`, wanted, signal);
    if (!response) return null;
    const type = response.headers.get("Content-Type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    if (!MANIFEST_TYPE.test(type)) throw wrong(response, "a manifest", `has the type ${type}`);
    const said = response.headers.get("Docker-Content-Digest") ?? "";
    const digest = isDigest ? reference : DIGEST.test(said) ? said : null;
    const fields = new Headers({ "Content-Type": type, "Cache-Control": "no-store" });
    if (method === "HEAD") {
      if (isDigest && said && said !== reference) throw wrong(response, reference, `is said to be ${said.slice(0, 200)}`);
      copy(response.headers, fields, "Content-Length", LENGTH);
      return new Response(null, { headers: digest ? withDigest(fields, digest) : fields });
    }
    const body = await upTo(response, MAX_MANIFEST);
    if (!body) throw wrong(response, "a manifest", `has more than ${MAX_MANIFEST} bytes`);
    const hashed = await digestOf(body, digest?.slice(0, 6) ?? "sha256");
    if (digest && hashed !== digest) throw wrong(response, digest, `has the digest ${hashed}`);
    return new Response(body, { headers: withDigest(fields, hashed) });
  });
}

/**
 * A blob of the source, or the part of it that is asked for, while it arrives; null if it has none.
 * @param {Source} source
 * @param {{ name: string, digest: string }} asked
 * @param {Request} request
 * @param {string | null} range
 */
export function blobOf(source, { name, digest }, { method, url }, range) {
  const wanted = { method, accept: null, range, here: new URL(url).host };
  return inTime(async (signal) => {
    const response = await found(source, urlOf(source, name), `blobs/${digest}`, wanted, signal);
    if (!response) return null;
    const { status, headers } = response;
    const fields = withDigest(new Headers({ "Content-Type": "application/octet-stream", "Cache-Control": "no-store" }), digest);
    fields.set("Accept-Ranges", "bytes");
    copy(headers, fields, "Content-Length", LENGTH);
    if (status === 200) return new Response(response.body, { headers: fields });
    copy(headers, fields, "Content-Range", CONTENT_RANGE);
    if (!fields.has("Content-Range")) throw wrong(response, digest, `is answered with status ${status}`);
    if (status === 206) return new Response(response.body, { status, headers: fields });
    response.body?.cancel();
    return new Response(null, { status, headers: { "Content-Range": fields.get("Content-Range") ?? "" } });
  });
}

/**
 * What the source answers: 200, or 206 or 416 to a range. Null if it has nothing, and if it refuses anonymous clients.
 * @param {Source} source
 * @param {string} repository its URL
 * @param {string} rest
 * @param {Wanted} wanted
 * @param {AbortSignal} signal
 */
async function found(source, repository, rest, wanted, signal) {
  spend(source);
  const url = new URL(`${repository}/${rest}`);
  let answered = await followed(url, wanted, known(repository), signal);
  if (answered.response.status === 401 && answered.at.origin === url.origin) {
    answered.response.body?.cancel();
    const token = await newToken(source, repository, answered.response.headers.get("WWW-Authenticate") ?? "", signal);
    if (token === null) return null;
    answered = await followed(url, wanted, token, signal);
  }
  return checked(answered.response, wanted.range ? [200, 206, 416] : [200]);
}

/** @type {Map<string, { until: number, left: number }>} what this isolate may still send to a source, by its target */
const budgets = new Map();

/** @param {Source} source */
function spend({ target, limit = 0 }) {
  const now = Date.now();
  const kept = budgets.get(target);
  const budget = kept && now < kept.until ? kept : { until: now + MINUTE, left: limit };
  if (budget.left <= 0) {
    const wait = String(Math.ceil((budget.until - now) / 1000));
    const why = "too many requests for what is not mirrored; try again later";
    throw new Refusal(429, "TOOMANYREQUESTS", why, null, { "Retry-After": wait });
  }
  budgets.set(target, { ...budget, left: budget.left - 1 });
}

/**
 * Sends a request and follows its redirects. The token is only for the origin of the first.
 * @param {URL} url
 * @param {Wanted} wanted
 * @param {string | null} token
 * @param {AbortSignal} signal
 * @returns {Promise<Answered>}
 */
async function followed(url, { method, accept, range, here }, token, signal) {
  let at = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    // Compressed on the way, a blob would have no length.
    const headers = new Headers({ "User-Agent": "r2mirror", "Accept-Encoding": "identity" });
    if (accept) headers.set("Accept", accept);
    if (range) headers.set("Range", range);
    if (token && at.origin === url.origin) headers.set("Authorization", `Bearer ${token}`);
    const response = await fetch(at, { method, headers, signal, redirect: "manual", cache: "no-store" });
    const location = response.headers.get("Location");
    if (response.status < 300 || response.status >= 400 || !location) return { response, at };
    response.body?.cancel();
    const next = URL.canParse(location, at) ? new URL(location, at) : null;
    if (!next || next.host === here || !mayFollow(next, url)) {
      throw wrong(response, url.pathname, `is redirected to ${location.split("?")[0]?.slice(0, 200)}`);
    }
    at = next;
  }
  console.warn(`${url} is redirected more than ${MAX_REDIRECTS} times`);
  throw unavailable();
}

/**
 * Whether a redirect may be followed: to https, which the source itself speaks.
 * @param {URL} next
 * @param {URL} first
 */
function mayFollow(next, first) {
  return !next.username && !next.password && (next.protocol === "https:" || next.protocol === first.protocol);
}

/** @type {Map<string, { value: string, until: number }>} by the URL of a repository */
const tokens = new Map();

/** @param {string} repository */
function known(repository) {
  const token = tokens.get(repository);
  return token && token.until > Date.now() ? token.value : null;
}

/**
 * An anonymous token for a repository; null if the source's challenge is not one that may be answered.
 * @param {Source} source
 * @param {string} repository its URL
 * @param {string} challenge
 * @param {AbortSignal} signal
 */
async function newToken(source, repository, challenge, signal) {
  const url = tokenUrl(source, repository, challenge);
  if (!url) {
    console.warn(`${repository} wants a login that is not answered: ${challenge.slice(0, 300)}`);
    return null;
  }
  const headers = { "User-Agent": "r2mirror" };
  const response = checked(await fetch(url, { headers, signal, redirect: "manual", cache: "no-store" }), [200]);
  if (!response) return null;
  const body = await upTo(response, MAX_TOKEN);
  const token = body && parsedToken(new TextDecoder().decode(body));
  if (!token) throw wrong(response, repository, "gets no token from its token server");
  tokens.delete(repository);
  remember(tokens, repository, token);
  return token.value;
}

/**
 * The URL of the token that a challenge demands; null if that is not a server that mirrors.yaml allows.
 * @param {Source} source
 * @param {string} repository its URL
 * @param {string} challenge
 */
function tokenUrl(source, repository, challenge) {
  const [, listed] = challenge.length <= MAX_HEADER ? (BEARER.exec(challenge) ?? []) : [];
  const said = new Map([...(listed ?? "").matchAll(PARAMETER)].map(([, name = "", value = ""]) => [name.toLowerCase(), value]));
  const realm = said.get("realm") ?? "";
  if (!URL.canParse(realm)) return null;
  const url = new URL(realm);
  if (url.username || url.password || !source.tokens?.includes(url.origin)) return null;
  const scope = said.get("scope") ?? "";
  const ours = `repository:${new URL(repository).pathname.slice("/v2/".length)}:pull`;
  if (said.has("service")) url.searchParams.set("service", said.get("service") ?? "");
  // A registry behind another host may know the repository by another name.
  url.searchParams.set("scope", SCOPE.test(scope) ? scope : ours);
  return url;
}

/** @param {string} text */
function parsedToken(text) {
  try {
    const { token, access_token, expires_in } = JSON.parse(text);
    const value = token || access_token;
    if (typeof value !== "string" || !TOKEN.test(value)) return null;
    const isSound = typeof expires_in === "number" && expires_in > 0 && expires_in <= MAX_LIFETIME;
    const lifetime = isSound ? expires_in : LIFETIME;
    return { value, until: Date.now() + 1000 * Math.max(lifetime - MARGIN, lifetime / 2) };
  } catch {
    return null;
  }
}

/**
 * The response of a source if its status is one of those; null if it has not what was asked for, or not for everyone.
 * @param {Response} response
 * @param {number[]} statuses
 */
function checked(response, statuses) {
  const { status, headers } = response;
  if (statuses.includes(status)) return response;
  response.body?.cancel();
  if (status === 429) {
    const after = headers.get("Retry-After") ?? "";
    const why = "the source of this repository has a limit of requests, which is reached";
    throw new Refusal(429, "TOOMANYREQUESTS", why, null, RETRY_AFTER.test(after) ? { "Retry-After": after } : {});
  }
  if (status >= 400 && status < 500) return null;
  throw wrong(response, "a request", `is answered with status ${status}`);
}

/**
 * @param {Response} response
 * @param {string} what
 * @param {string} why
 */
function wrong(response, what, why) {
  response.body?.cancel().catch(() => undefined);
  console.warn(`${what} from ${response.url.split("?")[0]} ${why}`);
  return unavailable();
}

function unavailable() {
  return new Refusal(503, "UNAVAILABLE", "the source of this repository does not answer as it should; see the operator's log");
}

/**
 * Has an end after PATIENCE. What was begun to be streamed by then goes on.
 * @template Result
 * @param {(signal: AbortSignal) => Promise<Result>} run
 */
async function inTime(run) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE);
  try {
    return await run(controller.signal);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    console.warn("the source of a repository does not answer:", error);
    throw unavailable();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The body of a response; null if it has more bytes than that.
 * @param {Response} response
 * @param {number} limit
 */
async function upTo(response, limit) {
  const parts = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    // Leaving the loop ends the body.
    if (size > limit) return null;
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * @param {Headers} from
 * @param {Headers} to
 * @param {string} name
 * @param {RegExp} form
 */
function copy(from, to, name, form) {
  const value = from.get(name);
  if (value !== null && form.test(value)) to.set(name, value);
}
