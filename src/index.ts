/** The library: the functions of the command line for programs. See docs/library.md. */
export { openProcessor, type Processor, type ProcessSummary } from './app/processor.ts';
export type { OpenSearchOptions, ProcessorOptions, ProcessorProgress } from './app/processor-options.ts';
export { openReplay, type Replay, type ReplayOptions, type ReplaySummary } from './app/replay.ts';
export type { DatasetCounts } from './dataset/dataset.ts';
export type { ProcessOutcome, Progress } from './engine/run.ts';
export type { SinkStatus } from './engine/sink.ts';
export type { Counters } from './engine/state-store.ts';
export { type ErrorCode, TaxiflowError } from './errors.ts';
export type { ReplayPlan } from './replay/plan.ts';
export type { ReplayOutcome, ReplayProgress } from './replay/run.ts';
export type { ResultDocument, ResultFilter } from './state/results.ts';
export * from './views.ts';
