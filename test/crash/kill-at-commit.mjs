/**
 * For `node --import`: this process kills itself with SIGKILL, or TAXIFLOW_SIGNAL, around the nth time it reaches a point.
 * TAXIFLOW_KILL is `point:when:nth`; points are commit, cursor, write, sync and cut, `when` is before, half or after.
 * `trips:after:n` is a replay that dies once it has said that so many trips are acknowledged.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Database } from '../../dist/sqlite.js';

const [point, when, nth] = (process.env['TAXIFLOW_KILL'] ?? '').split(':');
let times = 0;

/** Does `work`; when it is time to die, does all of it, `half` of it or nothing first. */
function around(here, work, half = () => {}) {
  if (here !== point || ++times !== Number(nth)) return work();
  if (when === 'after') work();
  if (when === 'half') half();
  process.kill(process.pid, process.env['TAXIFLOW_SIGNAL'] ?? 'SIGKILL');
}

const { exec, prepare } = Database.prototype;
Database.prototype.exec = function (sql) {
  return sql === 'COMMIT' ? around('commit', () => exec.call(this, sql)) : exec.call(this, sql);
};
Database.prototype.prepare = function (sql) {
  const statement = prepare.call(this, sql);
  if (/\bINTO cursors\b/.test(sql)) {
    const { run } = statement;
    statement.run = (...values) => around('cursor', () => run.apply(statement, values));
  }
  return statement;
};

const say = process.stderr.write.bind(process.stderr);
process.stderr.write = (text, ...rest) => {
  const said = say(text, ...rest);
  const trips = /^\S+Z {2}.* ([\d,]+) trips /.exec(String(text))?.[1]?.replaceAll(',', '');
  if (point === 'trips' && Number(trips) >= Number(nth)) process.kill(process.pid, 'SIGKILL');
  return said;
};

const { writeSync, ftruncateSync, fdatasyncSync } = fs;
fs.writeSync = (file, data, at, length, ...rest) => {
  const write = (bytes) => writeSync(file, data, at, bytes, ...rest);
  // Results only: standard output and error don't hold results.
  if (file <= 2) return write(length);
  return around(
    'write',
    () => write(length),
    () => write(Math.ceil(length / 2)),
  );
};
fs.fdatasyncSync = (file) => around('sync', () => fdatasyncSync(file));
fs.ftruncateSync = (file, length) => around('cut', () => ftruncateSync(file, length));
syncBuiltinESMExports();
