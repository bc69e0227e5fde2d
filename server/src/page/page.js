// The page asks the server's interface once a second and draws what it says. Whatever comes from there is put in as text.
'use strict';

const EVERY_MS = 1000;
const EVENTS_MAX = 200;
const TOKEN = 'proa-token';
const SVG = 'http://www.w3.org/2000/svg';

const at = (id) => document.getElementById(id);
let token = sessionStorage.getItem(TOKEN);
let timer = null;
let lastEvent = 0;
let drawn = {};

function element(name, attributes = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...[].concat(children));
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Draws only what has changed, so that whoever reads or has selected something is not disturbed.
function draw(id, what, make) {
  const now = JSON.stringify(what);
  if (drawn[id] === now) return;
  drawn[id] = now;
  at(id).replaceChildren(...[].concat(make()));
}

const ms = (us) => (us == null ? '–' : (us / 1000).toFixed(us < 10000 ? 1 : 0) + ' ms');
const percent = (ppm) => (ppm == null ? '–' : (ppm / 10000).toFixed(ppm && ppm < 1000 ? 2 : 1) + ' %');
const count = (number) => number.toLocaleString('en');

function grade(up, lossPpm, measured = true) {
  if (up === false) return 'dead';
  if (!measured) return 'none';
  if (lossPpm >= 10000) return 'poor';
  return lossPpm >= 1000 ? 'fair' : 'good';
}
const WORD = { good: '● good', fair: '◐ lossy', poor: '◑ bad', dead: '✕ down', none: '○ unknown' };
const verdict = (kind) => element('span', { class: `${kind} word` }, WORD[kind]);

function table(titles, rows) {
  const head = element('tr', {}, titles.map((title) => element('th', { scope: 'col', ...(title.number && { class: 'number' }) }, title.text ?? title)));
  const cell = (value, index) => element('td', titles[index].number ? { class: 'number' } : {}, value instanceof Node ? value : String(value));
  return [element('thead', {}, head), element('tbody', {}, rows.map((row) => element('tr', {}, row.map(cell))))];
}
const number = (text) => ({ text, number: true });

const linkGrade = (link) => (link.up === 0 ? (link.down > 0 ? 'dead' : 'none') : grade(true, link.loss_ppm, link.rtt_us != null));

// From left to right where there is room for that, from above to below on a phone: in pixels, so that names stay readable.
function map(status) {
  const column = (region) => (region.roles.includes('edge') ? 0 : region.roles.includes('gateway') ? 2 : 1);
  const columns = [[], [], []];
  for (const region of status.regions) columns[column(region)].push(region);
  const tallest = Math.max(1, ...columns.map((regions) => regions.length));
  const width = Math.max(300, at('map').clientWidth);
  const wide = width >= 520;
  const box = { width: wide ? 132 : Math.min(132, width / tallest - 8), height: 50 };
  const height = wide ? tallest * 92 + 10 : 370;
  const letters = Math.floor(box.width / 8);
  const place = {};
  columns.forEach((regions, along) => regions.forEach((region, across) => {
    const share = (across + 0.5) / regions.length;
    place[region.name] = wide
      ? { x: box.width / 2 + 2 + (along * (width - box.width - 4)) / 2, y: height * share }
      : { x: width * share, y: 35 + along * 150 };
  }));
  const svg = shape('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': 'Regions and the links between them' });
  const labels = [];
  for (const link of status.links) {
    const [a, b] = link.between.map((name) => place[name]);
    if (!a || !b) continue;
    const kind = linkGrade(link);
    const line = shape('line', { x1: a.x, y1: a.y, x2: b.x, y2: b.y, class: kind });
    line.append(shape('title', {}, `${link.between.join(' – ')}: ${WORD[kind].slice(2)}, ${ms(link.rtt_us)}, ${percent(link.loss_ppm)} lost`));
    svg.append(line);
    // A little off the middle, so that lines that cross there keep their labels apart.
    const [x, y] = [a.x + (b.x - a.x) * 0.42, a.y + (b.y - a.y) * 0.42];
    const text = kind === 'dead' ? '✕ down' : kind === 'none' ? '' : `${ms(link.rtt_us)}${link.loss_ppm >= 1000 ? ` · ${percent(link.loss_ppm)}` : ''}`;
    if (text) labels.push([text, x, y]);
  }
  for (const [text, x, y] of labels) {
    const half = text.length * 3.3 + 4;
    svg.append(shape('rect', { x: x - half, y: y - 9, width: half * 2, height: 18, rx: 4, class: 'label' }));
    svg.append(shape('text', { x, y: y + 4, 'text-anchor': 'middle', class: 'small' }, text));
  }
  for (const region of status.regions) {
    const { x, y } = place[region.name];
    const nodes = status.nodes.filter((node) => node.region === region.name);
    const ready = nodes.filter((node) => node.state === 'ready').length;
    svg.append(shape('rect', { x: x - box.width / 2, y: y - box.height / 2, ...box, rx: 9, class: 'region' }));
    svg.append(shape('text', { x, y: y - 3, 'text-anchor': 'middle' }, region.name.length > letters ? region.name.slice(0, letters - 1) + '…' : region.name));
    svg.append(shape('text', { x, y: y + 14, 'text-anchor': 'middle', class: 'small' }, `${region.roles.join(', ') || 'no node'} ${ready}/${nodes.length}`));
  }
  return svg;
}

function paths(status) {
  return status.path_sets.map((set) => {
    const won = set.paths.reduce((sum, path) => sum + path.won, 0);
    const rows = set.paths.map((path) => {
      const kind = grade(path.up, path.loss_ppm, path.rtt_us != null);
      return [path.path, path.via.join(' → '), verdict(kind), ms(path.rtt_us), percent(path.loss_ppm), won ? Math.round((100 * path.won) / won) + ' %' : '–'];
    });
    const titles = [number('path'), 'through', 'state', number('round trip'), number('lost'), number('wins')];
    return element('div', {}, [element('h3', {}, `${set.name}: ${set.edge} – ${set.gateway}`), element('table', {}, table(titles, rows))]);
  });
}

function pool(node) {
  if (node.sessions == null) return '';
  const used = node.sessions_max ? (100 * node.sessions) / node.sessions_max : 0;
  const fill = element('i');
  fill.style.width = `${Math.min(100, used)}%`;
  const bar = element('span', { class: 'bar', 'aria-hidden': 'true' }, fill);
  return element('span', {}, [bar, `${count(node.sessions)} of ${count(node.sessions_max)}`]);
}

function show(status) {
  draw('map', [at('map').clientWidth, status.regions, status.links, status.nodes.map((node) => [node.region, node.state])], () => map(status));
  draw('links', status.links, () => table(['between', 'state', number('round trip'), number('lost'), number('up'), number('down')],
    status.links.map((link) => [link.between.join(' – '), verdict(linkGrade(link)), ms(link.rtt_us), percent(link.loss_ppm), link.up, link.down])));
  draw('paths', status.path_sets, () => paths(status));
  draw('applications', status.applications, () => table(['application', 'addresses', 'gateways', 'routing', 'path sets'],
    status.applications.map((one) => [one.hostname ? `${one.name} (${one.hostname})` : one.name, one.vips.map(([address, node]) => `${address} at ${node}`).join(', '),
      one.gateway, one.routing[0] === one.routing[1] ? one.routing[0] : one.routing.join(' / '), one.path_sets.join(', ')])));
  draw('nodes', status.nodes, () => table(['node', 'region', 'does', 'state', number('busy'), 'sessions', 'alarms'],
    status.nodes.map((node) => [node.name, node.region, node.roles.join(', '), verdictOf(node), node.busy_percent == null ? '–' : node.busy_percent + ' %', pool(node), node.alarms.join('; ')])));
  const ready = status.nodes.filter((node) => node.state === 'ready').length;
  const down = status.path_sets.flatMap((set) => set.paths).filter((path) => path.up === false).length;
  at('state').textContent = `revision ${status.revision}, ${ready} of ${status.nodes.length} nodes ready, ${down ? `${down} path${down > 1 ? 's' : ''} down` : 'no path down'}`;
}

function verdictOf(node) {
  const kind = { ready: 'good', connected: 'fair', away: 'dead', revoked: 'dead' }[node.state] ?? 'none';
  const mark = { good: '●', fair: '◐', dead: '✕', none: '○' }[kind];
  return element('span', { class: `${kind} word` }, `${mark} ${node.state}${node.state === 'ready' && !node.in_step ? ', not in step' : ''}`);
}

function tell(events) {
  for (const event of events) {
    const when = new Date(event.at_ms);
    const time = element('time', { datetime: when.toISOString() }, when.toLocaleTimeString());
    at('events').prepend(element('li', { value: event.number }, [time, ` ${event.node} ${event.what}`]));
  }
  while (at('events').children.length > EVENTS_MAX) at('events').lastChild.remove();
}

async function ask(target) {
  const answer = await fetch(target, { headers: { Authorization: `Bearer ${token}` } });
  if (answer.status === 401) throw Object.assign(new Error('this token opens nothing'), { refused: true });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? answer.statusText);
  return answer.json();
}

async function turn() {
  try {
    const [status, news] = await Promise.all([ask('/v1/status'), ask(`/v1/events?after=${lastEvent}`)]);
    show(status);
    tell(news.events);
    // A server that has started anew counts events from the beginning.
    lastEvent = news.newest;
    at('enter').hidden = true;
    at('overlay').hidden = false;
    at('leave').hidden = false;
  } catch (error) {
    if (error.refused) return leave(error.message);
    at('state').textContent = `the server does not answer (${error.message}); what is shown is old`;
  }
  timer = setTimeout(turn, EVERY_MS);
}

function leave(why = '') {
  clearTimeout(timer);
  sessionStorage.removeItem(TOKEN);
  token = null;
  drawn = {};
  lastEvent = 0;
  at('events').replaceChildren();
  at('overlay').hidden = true;
  at('leave').hidden = true;
  at('enter').hidden = false;
  at('refused').textContent = why;
  at('state').textContent = 'not signed in';
  at('token').focus();
}

at('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  token = at('token').value.trim();
  at('token').value = '';
  at('refused').textContent = '';
  sessionStorage.setItem(TOKEN, token);
  turn();
});
at('leave').addEventListener('click', () => leave());
if (token) turn(); else at('state').textContent = 'not signed in';
