/** Takes the developer's AWS settings away, for tests say themselves which AWS they mean. */
for (const name of Object.keys(process.env)) {
  if (name.startsWith('AWS_') && !name.startsWith('AWS_SDK_JS_')) delete process.env[name];
}
