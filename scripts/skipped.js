// A reporter that lists the skipped tests with their reasons, after everything else.
// biome-ignore lint/style/noDefaultExport: node:test requires it
export default async function* skipped(events) {
  const found = [];
  for await (const { type, data } of events) {
    if ((type === 'test:pass' || type === 'test:fail') && data.skip !== undefined) {
      found.push(`  ${data.name}${typeof data.skip === 'string' ? `: ${data.skip}` : ''}`);
    }
  }
  if (found.length === 0) return;
  yield `\n${found.length} tests were skipped:\n${found.join('\n')}\n`;
}
