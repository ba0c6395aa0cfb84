// What is told of a finding, the same for all of its kind. Pure.

export const SEVERITIES = ['blocker', 'warning', 'notice'] as const
/**
 * `blocker`: something that the project needs can not be done until it is dealt with; `warning`: something will go wrong or be lost for somebody;
 * `notice`: somebody should know it or decide.
 */
export type Severity = (typeof SEVERITIES)[number]

/** `pair`: two accounts that are in each other's way; `project`: both tenants and what is between them, told by dry runs only. */
export const ABOUT = ['account', 'pair', 'group', 'domain', 'tenant', 'project'] as const
export type About = (typeof ABOUT)[number]

export interface FindingKind {
  readonly severity: Severity
  readonly about: About
  readonly title: string
  /** What was found, and what follows from it. */
  readonly explanation: string
  /** What the administrator does. */
  readonly remedy: string
}
