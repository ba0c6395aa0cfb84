// The room's one face (product.md §8): everything the rest of the product may use of the engine.
export type { Change, Direction, MatchRule, Report, ReportCode } from './change-report.ts'
export type { Envelope, EsmtpParameters, ForwardPath } from './envelope.ts'
export { DEFAULT_POLICY } from './policy.ts'
export type { Policy } from './policy.ts'
export { Refusal } from './refusal.ts'
export type { EnhancedStatus } from './refusal.ts'
