/**
 * Finds the source of what the mirror lacks, as `edge.on_miss` of mirrors.yaml has it, and redirects there; `proxied.js` fetches
 * from there instead. Nothing is stored: what the bucket has stays what was reviewed.
 *
 * ON_MISS is a list of sources. `r2mirror edge apply` makes it, so that no part of a request chooses the host.
 */

/**
 * A source: `target` is the start of a repository's name here, `url` takes its place. With `mode: proxy` also the requests a
 * minute that an isolate sends there, and the origins of the token servers that the source may name.
 * @typedef {{ target: string, url: string, limit?: number, tokens?: string[] }} Source
 */

/**
 * The source of what the bucket lacks; null where the miss stays a miss.
 * @param {string | undefined} sources the variable ON_MISS
 * @param {string} name a parsed name
 */
export function sourceOf(sources, name) {
  if (sources === undefined) return null;
  /** @type {Source[]} */
  const listed = JSON.parse(sources);
  return listed.find(({ target }) => name === target || name.startsWith(`${target}/`)) ?? null;
}

/**
 * The URL of a repository at its source.
 * @param {Source} source
 * @param {string} name
 */
export function urlOf(source, name) {
  return `${source.url}${name.slice(source.target.length)}`;
}

/** @param {string} Location */
export function redirected(Location) {
  // The next pull may find it in the mirror.
  return new Response(null, { status: 307, headers: { Location, "Cache-Control": "no-store" } });
}
