/** Whether a request bears a true AWS Signature Version 4, checked by the letter of the specification. */
import { createHash, createHmac } from 'node:crypto';
import type { Asked } from './http.ts';

export interface Secret {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface Scope {
  readonly region: string;
  readonly service: string;
  /** Epoch ms by the server's clock; signatures of another quarter of an hour are refused. */
  readonly now: number;
}

const MOST_SKEW_MS = 15 * 60_000;

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();

/** Why the signature isn't true; undefined when it is. */
export function refusal(request: Asked, secret: Secret, scope: Scope): string | undefined {
  const authorization = request.headers.authorization ?? '';
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (!match) return `no signature: ${authorization}`;
  const [, keyId, day, region, service, signedHeaders, signature] = match as unknown as string[];
  const time = String(request.headers['x-amz-date'] ?? '');
  const [, y, m, d, hh, mm, ss] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time) ?? [];
  const ms = Date.parse(`${y}-${m}-${d}T${hh}:${mm}:${ss}Z`);
  if (!(Math.abs(ms - scope.now) <= MOST_SKEW_MS)) return `signed at ${time}`;
  if (day !== time.slice(0, 8)) return `the day ${day} is not that of ${time}`;
  if (region !== scope.region || service !== scope.service) return `signed for ${region}/${service}`;
  if (keyId !== secret.accessKeyId) return `no such key: ${keyId}`;
  if (request.headers['x-amz-security-token'] !== secret.sessionToken) return 'another session token';

  const names = signedHeaders!.split(';');
  const needed = Object.keys(request.headers).filter((name) => name === 'host' || name.startsWith('x-amz-'));
  const unsigned = needed.filter((name) => !names.includes(name));
  if (unsigned.length > 0) return `not signed: ${unsigned}`;
  if (names.join() !== [...names].sort().join()) return 'signed headers are not in order';
  const bodyHash = sha256(request.body);
  const declared = request.headers['x-amz-content-sha256'];
  if (declared !== undefined && declared !== bodyHash) return 'the body is not the one that was signed';

  const [path = '/', query = ''] = request.path.split(/\?(.*)/s);
  const canonical = [
    request.method,
    canonicalPath(path),
    canonicalQuery(query),
    ...names.map(
      (name) =>
        `${name}:${String(request.headers[name] ?? '')
          .trim()
          .replaceAll(/ +/g, ' ')}`,
    ),
    '',
    signedHeaders,
    bodyHash,
  ].join('\n');
  const stringToSign = [
    'AWS4-HMAC-SHA256',
    time,
    `${day}/${region}/${service}/aws4_request`,
    sha256(canonical),
  ].join('\n');
  const key = [region!, service!, 'aws4_request'].reduce<Buffer>(
    hmac,
    hmac(`AWS4${secret.secretAccessKey}`, day!),
  );
  return hmac(key, stringToSign).toString('hex') === signature ? undefined : 'the signature does not match';
}

/** Unreserved characters stay; everything else is `%XX` of its UTF-8. */
function uriEncoded(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Services other than S3 encode the segments of the path as it is sent once more. */
function canonicalPath(path: string): string {
  return path.split('/').map(uriEncoded).join('/');
}

function canonicalQuery(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .map((part) => {
      const [name = '', value = ''] = part.split(/=(.*)/s);
      return [name, value].map((piece) => uriEncoded(decodeURIComponent(piece))).join('=');
    })
    .sort()
    .join('&');
}
