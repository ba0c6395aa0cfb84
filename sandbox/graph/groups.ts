// /groups and who is in them.
import { DIRECTORY_TYPES, allOf, findObject, objectsByIds, transitiveMembers } from './directory-objects.ts'
import { json, parameter } from './graph-call.ts'
import type { GraphAnswer, GraphCall, GraphHandler } from './graph-call.ts'
import type { DirectoryObject } from '../tenants/objects.ts'
import { readExpand, readSelect } from './list-options.ts'
import { answerCount, answerList, contextOf, shownEntity } from './listing.ts'

const GROUPS = { types: ['group'], isDirectory: true } as const

export const groupHandlers: Readonly<Record<string, GraphHandler>> = {
  'GET /groups': (call) => answerList(call, { ...GROUPS, context: 'groups', entities: allOf(call, 'group') }),
  'GET /groups/$count': (call) => answerCount(call, { ...GROUPS, context: 'groups', entities: allOf(call, 'group') }),
  'GET /groups/{group-id}': (call) => {
    const options = { select: readSelect(call, GROUPS.types), expand: readExpand(call, GROUPS) }
    return json({
      '@odata.context': contextOf(call, 'groups', options.select, '/$entity'),
      ...shownEntity(call, group(call), options, false),
    })
  },
  'GET /groups/{group-id}/members': (call) => people(call, group(call).members),
  'GET /groups/{group-id}/owners': (call) => people(call, group(call).owners),
  'GET /groups/{group-id}/transitiveMembers': (call) => people(call, transitiveMembers(call, group(call))),
}

function group(call: GraphCall): DirectoryObject {
  return findObject(call, 'group', parameter(call, 'group-id'))
}

function people(call: GraphCall, ids: readonly string[]): GraphAnswer {
  return answerList(call, {
    types: DIRECTORY_TYPES,
    isDirectory: true,
    context: 'directoryObjects',
    entities: objectsByIds(call, ids),
  })
}
