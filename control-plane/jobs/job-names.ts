// Every kind of job there is. A job is told ids and nothing else (JQ-4); what it does is registered under its name. Few queues, many names.

export const JOB_NAMES = [
  'audit.checkpoint',
  'audit.verify',
  'coexistence.reconcile',
  'discovery.run',
  'findings.run',
  'keys.rewrap',
  'mapping.import',
  'matching.run',
  'organisation.delete',
  'pair.change',
  'pair.sync',
  'project.delete',
  'retention.sweep',
  'tenant.check',
  'webhook.deliver',
  'notification.send',
] as const
export type JobName = (typeof JOB_NAMES)[number]
