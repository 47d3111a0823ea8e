/** Commands are quoted as a shell of the folder would take them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { it } from 'node:test';
import { invocation, version } from '../../src/status/invocation.ts';
import { ROOT, temporaryFolder } from '../files.ts';

it('is what finds this program, and no other of its name', (t) => {
  const folder = temporaryFolder(t);
  const at = (...names: string[]) => {
    const made = join(folder, ...names);
    mkdirSync(made, { recursive: true });
    return made;
  };
  const clone = at('clone');
  const bin = join(at('clone', 'bin'), 'taxiflow.js');
  const works = (mark: string) => `#!/bin/sh\necho ${mark}\n`;
  writeFileSync(bin, works('this one'), { mode: 0o755 });
  writeFileSync(join(clone, 'package.json'), '{"name":"taxiflow"}');
  const onPath = at('usr', 'bin');
  symlinkSync(bin, join(onPath, 'taxiflow'));
  const other = at('other', 'bin');
  writeFileSync(join(other, 'taxiflow'), works('another one'), { mode: 0o755 });
  const project = at('project', 'deep', 'down');
  const installed = at('project', 'node_modules', '.bin');
  symlinkSync(bin, join(installed, 'taxiflow'));
  const nowhere = at('nowhere');

  const path = (...folders: string[]) => folders.join(delimiter);
  assert.equal(invocation({ bin, path: path(other, onPath), cwd: nowhere }), 'taxiflow');
  assert.equal(invocation({ bin, path: other, cwd: clone }), 'npx taxiflow', 'in the clone');
  assert.equal(invocation({ bin, path: '', cwd: join(clone, 'bin') }), 'npx taxiflow', 'within the clone');
  assert.equal(invocation({ bin, path: '', cwd: project }), 'npx taxiflow', 'a package of the folder');
  // npx adds its folder to the path of what it runs, and a shell has not got it.
  assert.equal(invocation({ bin, path: installed, cwd: project }), 'npx taxiflow');
  const file = invocation({ bin, path: path(installed, other), cwd: nowhere });
  assert.equal(file, 'node ../clone/bin/taxiflow.js');
  assert.equal(version(), JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version);
});

it('works as it is quoted', { skip: process.platform === 'win32' }, (t) => {
  const cwd = temporaryFolder(t);
  const ran = spawnSync(`${invocation({ cwd })} --help`, { cwd, shell: true, encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /taxiflow/);
});
