/** What the linters of CloudFormation say of every variant. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { templateOf, templateText } from '../../src/deploy/template/template.ts';
import { temporaryFolder } from '../files.ts';
import { pythonCommand, withoutPython } from '../services/python.ts';
import { VARIANTS } from './variants.ts';

/** Open to the world, and with a property that there isn't: what the linters must find. */
const BAD = `AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: Open
      Colour: green
      SecurityGroupIngress:
        - { IpProtocol: tcp, FromPort: 22, ToPort: 22, CidrIp: 0.0.0.0/0, Description: All }
`;

/** What the templates leave out, each with its reason beside the resource. */
const LEFT_OUT = [
  'CKV_AWS_158', // a key of one's own for logs
  'CKV_AWS_18', // access logs of buckets
  'CKV_AWS_21', // versions of an archive that is never changed
  'CKV_AWS_26', // a key for the topic, which CloudWatch could not use
  'CKV_AWS_317', // audit log of a domain
  'CKV_AWS_65', // container insights
  'CKV_AWS_84', // slow logs of a domain
];

function folderOfAll(t: TestContext): string {
  const folder = join(temporaryFolder(t), 'templates');
  mkdirSync(folder);
  writeFileSync(join(folder, 'bad.yaml'), BAD);
  for (const { name, shape } of VARIANTS)
    writeFileSync(join(folder, `${name}.yaml`), templateText(templateOf(shape)));
  return folder;
}

describe('linters of CloudFormation', { skip: withoutPython }, () => {
  it('cfn-lint finds nothing, in any variant', (t) => {
    const folder = folderOfAll(t);
    const files = [...VARIANTS.map(({ name }) => name), 'bad'].map((name) => join(folder, `${name}.yaml`));
    const { stdout, stderr } = spawnSync(
      pythonCommand('cfn-lint', '1.58.0'),
      ['--format', 'json', '--regions', 'us-east-1', 'eu-central-1', '--', ...files],
      { encoding: 'utf8', maxBuffer: 1 << 26 },
    );
    const found = JSON.parse(stdout || stderr) as Finding[];
    const said = found.map(({ Filename, Message }) => `${basename(Filename)}: ${Message}`);
    assert.deepEqual(
      said.filter((line) => !line.startsWith('bad.yaml')),
      [],
    );
    assert.match(said.join('\n'), /bad\.yaml: .*'Colour'/);
  });

  it('checkov finds what is left out with a reason, and nothing else', (t) => {
    const folder = folderOfAll(t);
    const { stdout, stderr } = spawnSync(
      pythonCommand('checkov', '3.3.30'),
      ['-d', folder, '--framework', 'cloudformation', '--output', 'json', '--skip-download'],
      { encoding: 'utf8', maxBuffer: 1 << 28 },
    );
    assert.notEqual(stdout, '', stderr);
    const { results } = JSON.parse(stdout) as { results: Record<`${string}_checks`, Check[]> };
    const { failed_checks: failed = [], skipped_checks: skipped = [], passed_checks: passed = [] } = results;
    const said = failed.map(({ check_id, file_path, resource }) => `${file_path} ${check_id} ${resource}`);
    assert.deepEqual(
      said.filter((line) => !line.startsWith('/bad.yaml')),
      [],
    );
    assert.match(said.join('\n'), /bad\.yaml CKV_AWS_24 /, 'a port that is open to all');
    assert.deepEqual([...new Set(skipped.map(({ check_id }) => check_id))].sort(), LEFT_OUT);
    assert.ok(passed.length > 50 * VARIANTS.length, `${passed.length} checks`);
  });
});

interface Finding {
  readonly Filename: string;
  readonly Message: string;
}

interface Check {
  readonly check_id: string;
  readonly file_path: string;
  readonly resource: string;
}
