/**
 * Redirects what the mirror lacks to its source, as `edge.on_miss` of mirrors.yaml has it. Nothing is read from there and
 * nothing is stored: what the bucket has stays what was reviewed.
 *
 * ON_MISS is a list of `{ target, url }`: the start of a repository's name here, and the URL that takes its place.
 * `r2mirror edge apply` makes it, so that no part of a request chooses the host.
 */

/** @typedef {{ target: string, url: string }} Source */

/**
 * The response to a request that the bucket has no answer to; null where the miss stays a miss.
 * @param {string | undefined} sources the variable ON_MISS
 * @param {string} name a parsed name
 * @param {string} rest the end of the path, of parsed parts
 */
export function redirected(sources, name, rest) {
  if (sources === undefined) return null;
  /** @type {Source[]} */
  const listed = JSON.parse(sources);
  const source = listed.find(({ target }) => name === target || name.startsWith(`${target}/`));
  if (!source) return null;
  const Location = `${source.url}${name.slice(source.target.length)}/${rest}`;
  // The next pull may find it in the mirror.
  return new Response(null, { status: 307, headers: { Location, "Cache-Control": "no-store" } });
}
