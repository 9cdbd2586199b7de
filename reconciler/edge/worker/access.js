/**
 * Lets only those with a token reach a private mirror. It judges as `reconciler/access` does for `r2mirror serve --access`;
 * tests/data/access.json has the cases that both are tested with.
 *
 * A client without a token gets a challenge that names the token endpoint. There it sends the name and the token of
 * `r2mirror edge token create` by Basic, and gets a short-lived Bearer token, `NAME~EXPIRES~REPOSITORY+REPOSITORY~SIGNATURE`,
 * for the repositories that it asked for. An unknown name, a wrong token and one that has expired get the same answer, for
 * the same work.
 */

import { hex, remember } from "./digest.js";
import { Refusal } from "./refusal.js";

/**
 * Everything that a judgement needs: what each token may do, the hashes of the tokens and the key in hex, by name.
 * @typedef {{ access: Map<string, Permission>, hashes: Map<string, string>, key: string }} Guard
 * @typedef {{ repositories: string[], expires: number | null }} Permission
 * @typedef {{ name: string, token: Uint8Array }} Login
 * @typedef {"allowed" | "login" | "scope" | "denied"} Verdict
 */

export const CATALOG = "_catalog";
const ALL = "*";
/** Seconds. */
const LIFETIME = 300;
const MAX_HEADER = 8192;
const MAX_SCOPES = 16;
const MAX_FAILURES = 10;
const WINDOW = 60;
const NO_HASH = "0".repeat(64);
const TOKEN_PATH = "/token";

const BASIC = /^basic +((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/i;
const BEARER = /^bearer +([!-~]+)$/i;
const FORM = /^([a-z0-9-]{1,40})~([0-9]{1,12})~([a-z0-9._/+-]{0,4200})~([0-9a-f]{64})$/;
const NAME = /^[a-z0-9._/-]{1,255}$/;
const SCOPE = /^repository(?:\([a-z]{1,20}\))?:([a-z0-9._/-]{1,255}):([a-z,*]{1,100})$/;
const ENDPOINTS = new Set(["tags", "manifests", "blobs", "referrers"]);

const encoder = new TextEncoder();

/**
 * The guard that the Worker's variables describe: ACCESS, ACCESS_KEY, and ACCESS_TOKEN_... for each token. Null if the
 * mirror is public.
 * @param {Record<string, unknown>} env
 * @returns {Guard | null}
 */
export function guardOf(env) {
  if (env.ACCESS === undefined) return null;
  /** @type {Map<string, Permission>} */
  const access = new Map(Object.entries(JSON.parse(String(env.ACCESS))));
  const hashes = new Map();
  for (const name of access.keys()) {
    const hash = env[`ACCESS_TOKEN_${name.toUpperCase().replaceAll("-", "_")}`];
    if (typeof hash === "string") hashes.set(name, hash);
  }
  return { access, hashes, key: typeof env.ACCESS_KEY === "string" ? env.ACCESS_KEY : "" };
}

/**
 * Lets a request pass, with null, or answers it at the token endpoint. Throws `Refusal` for one that is not allowed.
 * @param {Guard} guard
 * @param {Request} request
 * @param {URL} url
 * @param {string} path its decoded path
 * @param {number} now seconds
 * @returns {Promise<Response | null>}
 */
export async function gate(guard, request, url, path, now) {
  const authorization = request.headers.get("Authorization");
  const repository = repositoryOf(path);
  const isPage = path === TOKEN_PATH || path === "/" || path === "/index.html";
  // Every path takes Basic: containerd's hosts.toml can only have a header.
  if (isPage || parseLogin(authorization)) {
    const login = await checkedLogin(guard, authorization, request.headers.get("CF-Connecting-IP") ?? "", now);
    if (path === TOKEN_PATH) {
      const token = await exchange(guard, login.name, url.searchParams.getAll("scope"), now);
      const headers = { "Cache-Control": "no-store" };
      return Response.json({ token, access_token: token, expires_in: LIFETIME }, { headers });
    }
    if (repository !== null && !mayPull(guard, login.name, repository)) throw denied();
    return null;
  }
  const verdict = await judge(guard, authorization, repository, now);
  if (verdict === "allowed") return null;
  if (verdict === "denied") throw denied();
  const parts = [`Bearer realm="${url.origin}${TOKEN_PATH}"`, `service="${url.host}"`];
  const scope = scopeOf(repository);
  if (scope) parts.push(`scope="${scope}"`);
  if (verdict === "scope") parts.push('error="insufficient_scope"');
  throw unauthorized(parts.join(","));
}

/** @type {Map<string, { first: number, count: number }>} failed logins by client and name */
const failures = new Map();

/**
 * The login of a request. Throws `Refusal` for one that is not right, with 429 after many of them.
 * @param {Guard} guard
 * @param {string | null} authorization
 * @param {string} client
 * @param {number} now
 */
async function checkedLogin(guard, authorization, client, now) {
  const login = parseLogin(authorization);
  if (!login) throw unauthorized('Basic realm="r2mirror"');
  // Whatever failed before: those with an old token must not lock out others behind the same address.
  if (await isRight(guard, login, now)) return login;
  // Nothing is awaited from here on, so that logins at the same time are all counted.
  const who = `${client} ${login.name.slice(0, 40)}`;
  const failed = failures.get(who);
  const isCounted = failed !== undefined && now < failed.first + WINDOW;
  if (isCounted && failed.count >= MAX_FAILURES) {
    const headers = { "Retry-After": String(failed.first + WINDOW - now) };
    throw new Refusal(429, "TOOMANYREQUESTS", "too many failed logins; try again later", null, headers);
  }
  failures.delete(who);
  remember(failures, who, isCounted ? { first: failed.first, count: failed.count + 1 } : { first: now, count: 1 });
  throw unauthorized('Basic realm="r2mirror"');
}

/**
 * Parses a Basic Authorization header (RFC 7617); null if it is not a valid one.
 * @param {string | null} authorization
 * @returns {Login | null}
 */
export function parseLogin(authorization) {
  const [, encoded] = (authorization?.length ?? 0) <= MAX_HEADER ? (BASIC.exec(authorization ?? "") ?? []) : [];
  if (encoded === undefined) return null;
  const text = atob(encoded);
  const colon = text.indexOf(":");
  if (colon < 0) return null;
  return { name: text.slice(0, colon), token: Uint8Array.from(text.slice(colon + 1), (one) => one.charCodeAt(0)) };
}

/**
 * Checks a login. Everything is computed for each, so that the time does not tell which names exist.
 * @param {Guard} guard
 * @param {Login} login
 * @param {number} now
 */
export async function isRight(guard, login, now) {
  const presented = hex(await crypto.subtle.digest("SHA-256", login.token));
  const isSame = equal(presented, guard.hashes.get(login.name) ?? NO_HASH);
  return holds(guard, login.name, now) && isSame;
}

/**
 * Issues the Bearer token of a right login: for those of the scopes that its name may pull.
 * @param {Guard} guard
 * @param {string} name
 * @param {string[]} scopes
 * @param {number} now
 */
export async function exchange(guard, name, scopes, now) {
  const words = scopes.flatMap((scope) => scope.split(" ")).slice(0, MAX_SCOPES);
  const asked = new Set(words.map(repositoryIn).filter((one) => one !== null));
  const granted = [...asked].filter((one) => mayPull(guard, name, one));
  const said = `${name}~${now + LIFETIME}~${granted.join("+")}`;
  return `${said}~${await signature(guard, name, said)}`;
}

/** @param {string} scope */
function repositoryIn(scope) {
  if (scope === "registry:catalog:*") return CATALOG;
  const [, name, actions] = SCOPE.exec(scope) ?? [];
  return name && actions?.split(",").some((one) => one === "pull" || one === "*") ? name : null;
}

/**
 * Judges a request for a repository, for `CATALOG`, or with null for what every login may have.
 * @param {Guard} guard
 * @param {string | null} authorization
 * @param {string | null} repository
 * @param {number} now
 * @returns {Promise<Verdict>}
 */
export async function judge(guard, authorization, repository, now) {
  const [, text = ""] = (authorization?.length ?? 0) <= MAX_HEADER ? (BEARER.exec(authorization ?? "") ?? []) : [];
  const [, name = "", expires = "", repositories = "", signed = ""] = FORM.exec(text) ?? [];
  if (!name) return "login";
  const wanted = await signature(guard, name, text.slice(0, -signed.length - 1));
  if (!equal(wanted, signed) || now >= Number(expires) || !holds(guard, name, now)) return "login";
  if (repository === null) return "allowed";
  if (!mayPull(guard, name, repository)) return "denied";
  return repositories.split("+").includes(repository) ? "allowed" : "scope";
}

/**
 * The repository that a decoded path is about: a name, `CATALOG`, or null for the paths of every login.
 * @param {string} path
 */
export function repositoryOf(path) {
  if (path === "/v2/_catalog" || path === "/" || path === "/index.html") return CATALOG;
  const parts = path.split("/");
  if (parts[0] !== "" || parts[1] !== "v2" || parts.length < 5 || !ENDPOINTS.has(parts.at(-2) ?? "")) return null;
  return parts.slice(2, -2).join("/");
}

/**
 * The scope that a challenge names; null for what is not a repository's name, which a header could not have.
 * @param {string | null} repository
 */
function scopeOf(repository) {
  if (repository === CATALOG) return "registry:catalog:*";
  return NAME.test(repository ?? "") ? `repository:${repository}:pull` : null;
}

/**
 * Whether the token of this name exists and has not expired.
 * @param {Guard} guard
 * @param {string} name
 * @param {number} now
 */
function holds(guard, name, now) {
  const expires = guard.access.get(name)?.expires ?? null;
  return guard.access.has(name) && guard.hashes.has(name) && guard.key !== "" && (expires === null || now < expires);
}

/**
 * @param {Guard} guard
 * @param {string} name
 * @param {string} repository
 */
function mayPull(guard, name, repository) {
  const globs = guard.access.get(name)?.repositories ?? [];
  return repository === CATALOG ? globs.includes(ALL) : globs.some((glob) => matches(glob, repository));
}

/**
 * Whether a glob, in which only * is special, matches all of a name. Takes linear time for each *.
 * @param {string} glob
 * @param {string} repository
 */
export function matches(glob, repository) {
  const [first = "", ...rest] = glob.split("*");
  const last = rest.pop();
  if (last === undefined) return repository === glob;
  const end = repository.length - last.length;
  let place = first.length;
  if (end < place || !repository.startsWith(first) || !repository.endsWith(last)) return false;
  for (const part of rest) {
    const found = repository.indexOf(part, place);
    if (found < 0 || found + part.length > end) return false;
    place = found + part.length;
  }
  return true;
}

/**
 * @param {Guard} guard
 * @param {string} name
 * @param {string} said
 */
async function signature(guard, name, said) {
  // Without a key nothing is signed, and nothing holds.
  const material = encoder.encode(guard.key || "-");
  const key = await crypto.subtle.importKey("raw", material, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const hashed = guard.hashes.get(name) ?? NO_HASH;
  return hex(await crypto.subtle.sign("HMAC", key, encoder.encode(`${hashed}~${said}`)));
}

/**
 * Compares in constant time.
 * @param {string} one
 * @param {string} other
 */
function equal(one, other) {
  const [a, b] = [encoder.encode(one), encoder.encode(other)];
  return a.length === b.length && crypto.subtle.timingSafeEqual(a, b);
}

function denied() {
  return new Refusal(403, "DENIED", "this token may not pull that");
}

/** @param {string} challenge */
function unauthorized(challenge) {
  return new Refusal(401, "UNAUTHORIZED", "authentication required", null, { "WWW-Authenticate": challenge });
}
