/** What a module of views can import: the view language. */
export * from './views/language.ts';
export { JFK, LGA, NYC, taxiViews } from './views/taxi.ts';
