// /contacts: contacts of the organisation. Graph only reads them.
import { allOf, findObject } from './directory-objects.ts'
import { json, parameter } from './graph-call.ts'
import type { GraphCall, GraphHandler } from './graph-call.ts'
import { readExpand, readSelect } from './list-options.ts'
import { answerCount, answerList, contextOf, shownEntity } from './listing.ts'
import type { Listed } from './listing.ts'

const CONTACTS = { types: ['orgContact'], isDirectory: true } as const

export const contactHandlers: Readonly<Record<string, GraphHandler>> = {
  'GET /contacts': (call) => answerList(call, listed(call)),
  'GET /contacts/$count': (call) => answerCount(call, listed(call)),
  'GET /contacts/{orgContact-id}': (call) => {
    const contact = findObject(call, 'orgContact', parameter(call, 'orgContact-id'))
    const options = { select: readSelect(call, CONTACTS.types), expand: readExpand(call, CONTACTS) }
    return json({
      '@odata.context': contextOf(call, 'contacts', options.select, '/$entity'),
      ...shownEntity(call, contact, options, false),
    })
  },
}

function listed(call: GraphCall): Listed {
  return { ...CONTACTS, context: 'contacts', entities: allOf(call, 'orgContact') }
}
