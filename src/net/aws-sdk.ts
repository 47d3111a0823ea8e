/** Settings that every client of the AWS SDK shares. */

/** Keeps the SDK from warning users about their Node.js version, which they often can't change. */
export function muteVersionWarning(): void {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
}
