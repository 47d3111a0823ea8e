// Makes the page in dist/: its code as one file, and what is not code: styles, outlines, the map library with its licence.
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src', 'dashboard', 'page');
const target = join(root, 'dist', 'dashboard', 'page');
const library = join(root, 'node_modules', 'maplibre-gl');

mkdirSync(join(target, 'vendor'), { recursive: true });
await build({
  entryPoints: [join(source, 'main.ts')],
  outdir: target,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'warning',
});
for (const file of readdirSync(source)) {
  if (['.html', '.css', '.svg'].includes(extname(file)) || /^(outline|places|zones)\.json$/.test(file)) {
    copyFileSync(join(source, file), join(target, file));
  }
}
for (const file of ['maplibre-gl.mjs', 'maplibre-gl-worker.mjs', 'maplibre-gl.css']) {
  copyFileSync(join(library, 'dist', file), join(target, 'vendor', file));
}
copyFileSync(join(library, 'LICENSE.txt'), join(target, 'vendor', 'maplibre-gl.LICENSE.txt'));
copyFileSync(join(root, 'src', 'opensearch', 'land.json'), join(root, 'dist', 'opensearch', 'land.json'));
