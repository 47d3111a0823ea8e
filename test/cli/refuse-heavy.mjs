// For `--import`: whoever loads one of the heavy packages ends with an error that names it.
import { register } from 'node:module';

const hooks = `
  const HEAVY = /^(better-sqlite3|@aws-sdk\\/|@opensearch-project\\/|csv-parse|fzstd|tinyglobby|ora)/;
  export async function resolve(specifier, context, next) {
    if (HEAVY.test(specifier)) throw new Error('heavy package loaded: ' + specifier);
    return next(specifier, context);
  }`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
