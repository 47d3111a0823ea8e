/** The view language, for modules that define views. */
export { checkViews } from './views/check.ts';
export { explainViews } from './views/explain.ts';
export * from './views/language.ts';
export { JFK, LGA, NYC, taxiViews } from './views/taxi.ts';
