/** The JDKs of this machine and Maven, which the services written in Java need. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

const EXECUTABLE = process.platform === 'win32' ? '.exe' : '';

export interface Jdk {
  readonly home: string;
  /** 17, 21, … */
  readonly version: number;
}

const JDKS = jdks();
export const MAVEN: boolean =
  JDKS.length > 0 &&
  spawnSync('mvn', ['--version'], { stdio: 'ignore', shell: process.platform === 'win32' }).status === 0;

/** The oldest JDK that will do: what a version was released with runs it best. */
export function jdkOf(atLeast: number): Jdk | undefined {
  return JDKS.find((jdk) => jdk.version >= atLeast);
}

export function java(jdk: Jdk, command: 'java' | 'javac'): string {
  return join(jdk.home, 'bin', `${command}${EXECUTABLE}`);
}

/** What can compile and run here, the oldest first. */
function jdks(): Jdk[] {
  const homes = [
    process.env['JAVA_HOME'] ?? '',
    ...(process.env['PATH'] ?? '').split(delimiter).map((folder) => dirname(folder)),
    ...foldersIn('/usr/lib/jvm'),
    ...foldersIn('/Library/Java/JavaVirtualMachines').map((folder) => join(folder, 'Contents', 'Home')),
  ].flatMap((folder) => {
    const javac = join(folder, 'bin', `javac${EXECUTABLE}`);
    // What lies on the path is often a link to the JDK's own.
    return folder !== '' && existsSync(javac) ? [dirname(dirname(realpathSync(javac)))] : [];
  });
  return [...new Set(homes)]
    .flatMap((home) => {
      const release = join(home, 'release');
      const version = existsSync(release)
        ? Number(/^JAVA_VERSION="(\d+)/m.exec(readFileSync(release, 'utf8'))?.[1])
        : Number.NaN;
      return version >= 17 ? [{ home, version }] : [];
    })
    .sort((a, b) => a.version - b.version);
}

function foldersIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}
