/** Digests of content, and what an isolate remembers by such names. */

export const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
/** Bytes. The distribution specification has registries take 4 MiB at least, and clients take no more. */
export const MAX_MANIFEST = 4 * 1024 * 1024;
/** Entries that an isolate remembers in each of its maps. */
const MAX_REMEMBERED = 1000;

/**
 * @param {ArrayBuffer | Uint8Array} body
 * @param {string} algorithm sha256 or sha512
 */
export async function digestOf(body, algorithm) {
  return `${algorithm}:${hex(await crypto.subtle.digest(algorithm.replace("sha", "SHA-"), body))}`;
}

/** @param {ArrayBuffer} bytes */
export function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Headers} headers
 * @param {string} digest
 */
export function withDigest(headers, digest) {
  headers.set("ETag", `"${digest}"`);
  headers.set("Docker-Content-Digest", digest);
  return headers;
}

/**
 * Remembers a value in this isolate, in the place of the oldest one if there are too many.
 * @template Value
 * @param {Map<string, Value>} map
 * @param {string} key
 * @param {Value} value
 */
export function remember(map, key, value) {
  if (map.size >= MAX_REMEMBERED) map.delete(map.keys().next().value ?? key);
  map.set(key, value);
}
