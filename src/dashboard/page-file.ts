/** The page as one file: its code and styles in it, and what its server would answer as gzip in base64. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Assets } from './assets.ts';
import { LIBRARY, WORKER } from './page/wire.ts';

/** Files that the page asks for by itself. */
const FILES = ['/places.json', '/zones.json', '/outline.json', LIBRARY, WORKER];
const LICENSE = '/vendor/maplibre-gl.LICENSE.txt';
const ICON = '/icon.svg';

/** The page around its data. */
export interface PageShell {
  readonly head: string;
  readonly tail: string;
}

export async function pageShell(assets = new Assets()): Promise<PageShell> {
  const icon = `data:image/svg+xml;base64,${Buffer.from(await textOf(assets, ICON)).toString('base64')}`;
  const hashes: Record<'script' | 'style', string[]> = { script: [], style: [] };
  const inline = async (element: 'script' | 'style', path: string, attributes = '') => {
    const text = await textOf(assets, path);
    if (/<\/(?:script|style)|<!--/i.test(text)) throw new Error(`${path} would end its element`);
    hashes[element].push(`'sha256-${createHash('sha256').update(text).digest('base64')}'`);
    return `<${element}${attributes}>${text}</${element}>`;
  };
  let html = (await textOf(assets, '/')).replaceAll(`"${ICON}"`, () => `"${icon}"`);
  for (const [link, path] of html.matchAll(/<link rel="stylesheet" href="([^"]+)">/g)) {
    const style = await inline('style', path!);
    html = html.replace(link, () => style);
  }
  const script = await inline('script', '/main.js', ' type="module"');
  html = html.replace('<script type="module" src="/main.js"></script>', () => script);
  html = html.replace('<meta charset="utf-8">', (meta) => `${meta}\n  ${policy(hashes)}`);
  const end = html.lastIndexOf('</body>');
  const files = await Promise.all(FILES.map(async (path) => answer(path, await textOf(assets, path))));
  return {
    head: `${html.slice(0, end)}${await license(assets)}${files.join('')}`,
    tail: html.slice(end),
  };
}

/** What a server would answer to a request, for an exported page. */
export function answer(request: string, text: string): string {
  const name = request.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  const packed = gzipSync(text, { level: 9 }).toString('base64');
  return `<script type="application/gzip" data-answers="${name}">${packed}</script>\n`;
}

/**
 * What the page may load: only what lies in it. The map library is made a script of its own (blob:), and fetches the text of its
 * worker, which it begins as `data:` where a page from a disk has no origin.
 */
function policy({ script, style }: Readonly<Record<'script' | 'style', readonly string[]>>): string {
  const rules = [
    "default-src 'none'",
    `script-src ${script.join(' ')} blob:`,
    `style-src ${style.join(' ')}`,
    'worker-src blob: data:',
    'connect-src blob:',
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return `<meta http-equiv="content-security-policy" content="${rules.join('; ')}">`;
}

/** The licence of the map library, which asks to go with it. */
async function license(assets: Assets): Promise<string> {
  const text = (await textOf(assets, LICENSE)).replace(/-{2,}/g, (line) => '='.repeat(line.length));
  return `<!--\nThis file contains MapLibre GL JS. Its licence:\n\n${text.trim()}\n-->\n`;
}

async function textOf(assets: Assets, path: string): Promise<string> {
  const asset = await assets.find(path);
  if (!asset) throw new Error(`${path} is missing from the page`);
  return (await asset.body('identity')).bytes.toString('utf8');
}
