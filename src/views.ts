/** The view language, which a module of views imports. */
export { checkViews } from './views/check.ts';
export { explainViews } from './views/explain.ts';
export * from './views/language.ts';
export { JFK, LGA, NYC, taxiViews } from './views/taxi.ts';
