"use strict";
// What is shown comes from other people's registries: it is set as text, never as markup.
const catalog = JSON.parse(document.getElementById("catalog").textContent);
const atRoot = location.protocol.startsWith("http") && /^\/(index\.html)?$/.test(location.pathname);
const host = atRoot ? location.host : "REGISTRY";
const REPOSITORIES = 50, TAGS = 25, PLATFORMS = 8;

const $ = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en");
const ages = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const natural = new Intl.Collator("en", { numeric: true });
const count = (number, one, many) => `${numbers.format(number)} ${number === 1 ? one : many}`;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function size(bytes) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (bytes < 1024) return `${bytes.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(1)} TiB`;
}

function age(seconds) {
  const past = Date.now() / 1000 - seconds;
  for (const [unit, length] of [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]])
    if (past >= length) return ages.format(-Math.floor(past / length), unit);
  return "just now";
}

function time(seconds) {
  const date = new Date(seconds * 1000).toISOString();
  return element("time", { dateTime: date, title: `mirrored ${date}` }, age(seconds));
}

function digest(packed) {
  const bytes = Array.from(atob(packed), (letter) => letter.charCodeAt(0).toString(16).padStart(2, "0"));
  return `sha${bytes.length * 8}:${bytes.join("")}`;
}

// Only a mirror whose pulls are counted has this element. Maps, since a repository may be called `constructor`.
const counted = $("pulls") && JSON.parse($("pulls").textContent);
const pulls = new Map(Object.entries(counted?.repositories ?? {}).map(([name, tags]) => [name, new Map(Object.entries(tags))]));
const pullCount = (number) => element("span", { className: "facts" }, count(number, "pull", "pulls"));

const repositories = catalog.repositories.map(([name, images, tags]) => ({
  name,
  changed: Math.max(...tags.map((tag) => catalog.times[tag[2]])),
  pulls: tags.reduce((sum, [tag]) => sum + (pulls.get(name)?.get(tag) ?? 0), 0),
  tags: tags
    .map(([tag, image, when]) => ({
      name: tag, image: images[image], time: catalog.times[when], pulls: pulls.get(name)?.get(tag) ?? 0,
    }))
    .sort((one, other) => other.time - one.time || natural.compare(other.name, one.name)),
}));

function platforms(tag) {
  const pairs = [];
  for (let at = 0; at < tag.image[1].length; at += 2)
    pairs.push([catalog.platforms[tag.image[1][at]], tag.image[1][at + 1]]);
  return pairs;
}

// Words that a search looks through; they are made at the first search.
function words(repository, tag) {
  tag.words ??= [`${repository.name}:${tag.name}`, ...platforms(tag).map(([name]) => name), digest(tag.image[0])]
    .join(" ")
    .toLowerCase();
  return tag.words;
}

function found(query) {
  const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
  const results = [];
  for (const repository of repositories) {
    const named = terms.every((term) => repository.name.includes(term));
    const tags = named ? repository.tags
      : repository.tags.filter((tag) => terms.every((term) => words(repository, tag).includes(term)));
    if (tags.length) results.push({ repository, tags });
  }
  if ($("order").value === "time") results.sort((one, other) => other.repository.changed - one.repository.changed);
  if ($("order").value === "pulls") results.sort((one, other) => other.repository.pulls - one.repository.pulls);
  return results;
}

async function copy(button, text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS there is no such clipboard.
    const field = element("textarea", { value: text, className: "hidden" });
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    button.focus();
    if (!copied) return say("Copying is not allowed here; select the text instead");
  }
  say(`Copied ${what}`);
  const label = (button.label ??= button.textContent);
  button.textContent = "Copied";
  button.classList.add("done");
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    button.textContent = label;
    button.classList.remove("done");
  }, 1500);
}

function say(text) {
  $("spoken").textContent = "";
  requestAnimationFrame(() => { $("spoken").textContent = text; });
}

function platformList(tag) {
  const pairs = platforms(tag);
  const item = ([name, bytes]) => element("li", {}, name === "unknown" ? "image" : name, element("b", {}, size(bytes)));
  const list = element("ul", { className: "platforms", ariaLabel: "Platforms and download sizes" });
  list.append(...pairs.slice(0, PLATFORMS).map(item));
  if (pairs.length > PLATFORMS) {
    const rest = element("button", { type: "button", className: "digest" }, `+ ${pairs.length - PLATFORMS} more`);
    rest.onclick = () => rest.parentElement.replaceWith(...pairs.slice(PLATFORMS).map(item));
    list.append(element("li", {}, rest));
  }
  return pairs.length ? [list] : [];
}

function tagItem(repository, tag) {
  const image = `${host}/${repository.name}`, full = digest(tag.image[0]);
  const command = `docker pull ${image}:${tag.name}`;
  const button = element("button", { type: "button", className: "copy", ariaLabel: `Copy: ${command}` }, "Copy");
  button.onclick = () => copy(button, command, command);
  const pinned = element("button", {
    type: "button", className: "digest", title: `${full}\nCopies the pull command by digest`,
    ariaLabel: `Copy the pull command by digest, ${full.slice(0, 19)}`,
  }, full.slice(0, 19));
  pinned.onclick = () => copy(pinned, `docker pull ${image}@${full}`, "the pull command by digest");
  return element("li", {},
    element("div", { className: "name" }, element("h3", {}, tag.name), time(tag.time), ...(counted ? [pullCount(tag.pulls)] : []), pinned),
    element("div", {},
      element("div", { className: "pull" }, element("code", {}, command), button),
      ...platformList(tag)));
}

function fill(details, { repository, tags }) {
  if (details.querySelector(".tags")) return;
  const list = element("ul", { className: "tags", ariaLabel: `Tags of ${repository.name}` });
  const more = element("button", { type: "button", className: "more" });
  const add = () => {
    const shown = list.children.length;
    list.append(...tags.slice(shown, shown + TAGS).map((tag) => tagItem(repository, tag)));
    const left = tags.length - list.children.length;
    more.hidden = !left;
    more.textContent = `Show ${Math.min(left, TAGS)} more of ${numbers.format(left)}`;
    return list.children[shown];
  };
  more.onclick = () => {
    const first = add().querySelector(".copy");
    if (more.hidden) first.focus();
  };
  add();
  details.append(list, more);
}

function repositoryItem(result, open) {
  const { repository, tags } = result;
  const all = repository.tags.length;
  const tally = tags.length === all ? count(all, "tag", "tags") : `${numbers.format(tags.length)} of ${count(all, "tag", "tags")}`;
  const details = element("details", { open },
    element("summary", {},
      element("h2", {}, repository.name),
      ...(counted ? [pullCount(repository.pulls)] : []),
      element("span", { className: "facts" }, tally),
      element("span", { className: "facts" }, time(repository.changed))));
  details.addEventListener("toggle", () => details.open && fill(details, result));
  if (open) fill(details, result);
  return element("li", {}, details);
}

let results = [];

function showMore() {
  const list = $("repositories"), shown = list.children.length;
  const open = results.length === 1 || ($("search").value.trim() !== "" && results.length <= 3);
  list.append(...results.slice(shown, shown + REPOSITORIES).map((result) => repositoryItem(result, open)));
  $("more").hidden = list.children.length === results.length;
}

function show() {
  const query = $("search").value.trim();
  results = found(query);
  const tags = results.reduce((sum, result) => sum + result.tags.length, 0);
  $("repositories").replaceChildren();
  showMore();
  const tally = `${count(results.length, "repository", "repositories")}, ${count(tags, "tag", "tags")}`;
  const days = counted ? `; pulls from ${counted.since} to ${counted.until}` : "";
  $("summary").textContent = !query ? (repositories.length ? tally + days : "There are no images here yet.")
    : results.length ? `${tally} match` : `Nothing matches \u201c${query}\u201d.`;
  history.replaceState(null, "", query ? `#${encodeURIComponent(query)}` : location.pathname + location.search);
}

function readAddress() {
  try {
    $("search").value = decodeURIComponent(location.hash.slice(1));
  } catch {
    $("search").value = "";
  }
  show();
}

function note() {
  const notes = [];
  if (!atRoot) notes.push("This page is not at the root of a registry: put your registry\u2019s host in place of REGISTRY.");
  if (catalog.left)
    notes.push(`Shown are the tags that changed last; ${count(catalog.left, "older one is", "older ones are")} left out. v2/<repository>/tags/list has them all.`);
  $("note").textContent = notes.join(" ");
  $("note").hidden = !notes.length;
}

if (atRoot) {
  $("host").textContent = host;
  document.title = `${host} \u2013 container images`;
}
if (counted) $("order").append(element("option", { value: "pulls" }, "Most pulled first"));
let waiting = 0;
function showNow() {
  clearTimeout(waiting);
  waiting = 0;
  show();
}
$("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(showNow, 100);
});
// Before the focus moves on: what it moves to is not to be replaced a moment later.
$("search").addEventListener("change", () => waiting && showNow());
$("order").addEventListener("change", show);
$("more").addEventListener("click", showMore);
addEventListener("hashchange", readAddress);
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $("search").focus();
  }
  if (event.key === "Escape" && event.target === $("search")) {
    $("search").value = "";
    show();
  }
});
new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && showMore()).observe($("more"));
note();
readAddress();
