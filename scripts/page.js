// Copies to dist/ what is not compiled: the files of the page, the map library with its licence, and outlines.
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src', 'dashboard', 'page');
const target = join(root, 'dist', 'dashboard', 'page');
const library = join(root, 'node_modules', 'maplibre-gl');

for (const file of readdirSync(source)) {
  if (['.html', '.css', '.svg'].includes(extname(file)) || /^(outline|places|zones)\.json$/.test(file)) {
    copyFileSync(join(source, file), join(target, file));
  }
}
// The page imports from `../../views/`, which a browser resolves to `/views/`.
mkdirSync(join(target, 'views'), { recursive: true });
copyFileSync(join(root, 'dist', 'views', 'geohash.js'), join(target, 'views', 'geohash.js'));
mkdirSync(join(target, 'vendor'), { recursive: true });
for (const file of ['maplibre-gl.mjs', 'maplibre-gl-worker.mjs', 'maplibre-gl.css']) {
  copyFileSync(join(library, 'dist', file), join(target, 'vendor', file));
}
copyFileSync(join(library, 'LICENSE.txt'), join(target, 'vendor', 'maplibre-gl.LICENSE.txt'));
copyFileSync(join(root, 'src', 'opensearch', 'land.json'), join(root, 'dist', 'opensearch', 'land.json'));
