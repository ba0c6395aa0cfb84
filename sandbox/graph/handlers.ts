// Every operation that the simulated Graph has, by its published name.
import { applicationHandlers } from './applications.ts'
import { batchHandlers } from './batch.ts'
import { contactHandlers } from './contacts.ts'
import { deltaHandlers } from './delta.ts'
import { directoryRoleHandlers } from './directory-roles.ts'
import type { GraphHandler } from './graph-call.ts'
import { groupHandlers } from './groups.ts'
import { reportHandlers } from './reports.ts'
import { tenantHandlers } from './tenant-info.ts'
import { userHandlers } from './users.ts'

export const HANDLERS: ReadonlyMap<string, GraphHandler> = new Map(
  [
    tenantHandlers,
    userHandlers,
    groupHandlers,
    contactHandlers,
    deltaHandlers,
    applicationHandlers,
    directoryRoleHandlers,
    reportHandlers,
    batchHandlers,
  ].flatMap((handlers) => Object.entries(handlers)),
)
