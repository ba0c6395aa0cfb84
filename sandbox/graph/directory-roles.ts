// /directoryRoles: the one role that is given in the simulated tenants, and who has it.
import { DIRECTORY_TYPES, objectsByIds } from './directory-objects.ts'
import { collectionOf, entity } from './entity.ts'
import { parameter } from './graph-call.ts'
import type { GraphCall, GraphHandler } from './graph-call.ts'
import { notFound } from './graph-error.ts'
import { answerList } from './listing.ts'
import { stableGuid } from './stable-guid.ts'

/** "Microsoft Entra built-in roles" */
const GLOBAL_ADMINISTRATOR = '62e90394-69f5-4237-9190-012177145e10'

export const directoryRoleHandlers: Readonly<Record<string, GraphHandler>> = {
  'GET /directoryRoles': (call) =>
    answerList(call, {
      types: ['directoryRole'],
      isDirectory: true,
      context: 'directoryRoles',
      entities: collectionOf([
        entity('directoryRole', roleId(call), {
          displayName: 'Global Administrator',
          description:
            'Can manage all aspects of Microsoft Entra ID and Microsoft services that use Microsoft Entra identities.',
          roleTemplateId: GLOBAL_ADMINISTRATOR,
        }),
      ]),
    }),
  'GET /directoryRoles/{directoryRole-id}/members': (call) => {
    const id = parameter(call, 'directoryRole-id')
    if (id.toLowerCase() !== roleId(call)) throw notFound(id.slice(0, 200))
    return answerList(call, {
      types: DIRECTORY_TYPES,
      isDirectory: true,
      context: 'directoryObjects',
      entities: objectsByIds(call, call.tenant.data.administrators),
    })
  },
}

function roleId({ tenant }: GraphCall): string {
  return stableGuid('directory role', tenant.id, GLOBAL_ADMINISTRATOR)
}
