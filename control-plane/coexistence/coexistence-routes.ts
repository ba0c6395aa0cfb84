// `…/coexistence` and `…/free-busy`: ask for on, off or something else, and see how far it is; the emergency stop. A job does the work.
// (control-plane.md §2, AZ-6)
import { callerName, callerOf } from '../access/caller.ts'
import type { Tx } from '../db/database.ts'
import { demandFreshness } from '../http/authorise.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Answer } from '../http/route.ts'
import { readableText } from '../http/values.ts'
import { placeOf, projectParams } from '../mapping/mapping-schema.ts'
import { operationUrl } from '../operations/operation-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { z } from 'zod'
import { changesRoute } from './changes-route.ts'
import {
  coexistenceSchema,
  freeBusyBody,
  freeBusyOf,
  freeBusySchema,
  settingBody,
  settingOf,
  shapeCoexistence,
  shapeFreeBusy,
} from './coexistence-shape.ts'
import { planRoute } from './plan-route.ts'
import type { PlanRouteDeps } from './plan-route.ts'
import { emergencyStop, readSwitch, setCoexistence, setFreeBusy } from './switch.ts'
import type { SwitchView } from './switch.ts'
import { listTransitions } from './switch-store.ts'

const tag = 'coexistence'
const BASE = '/projects/{project}/coexistence'
const MAX_TRANSITIONS = 20

export function coexistenceRoutes(deps: PlanRouteDeps): AnyRoute[] {
  return [readRoute, setRoute, planRoute(deps), changesRoute, stopRoute, readFreeBusyRoute, setFreeBusyRoute]
}

const begun = { description: 'Begun: see Location for its progress', schema: coexistenceSchema }

const readRoute = route({
  method: 'get',
  path: BASE,
  id: 'readCoexistence',
  summary: 'Read the coexistence switch: what is asked for, and how far both tenants are',
  tag,
  access: 'coexistence.read',
  params: projectParams,
  responses: { 200: { description: 'The switch', schema: coexistenceSchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const place = placeOf(context)
      return answerOf(tx, place, await readSwitch(tx, place), 200)
    }),
})

const setRoute = route({
  method: 'put',
  path: BASE,
  id: 'setCoexistence',
  summary: 'Switch coexistence on or off, or to something else',
  description:
    'Members that are left out stay as they are. On makes groups, connectors, remote domains and mail flow rules in both tenants, off takes them away again and proves that both are as they were; see `…/plan` before. Off needs a sign-in of the last 5 minutes, or an API key made for dangerous acts.',
  tag,
  access: 'coexistence.switch',
  params: projectParams,
  body: settingBody,
  ifMatch: 'needed',
  problems: ['sign-in-again'],
  responses: { 202: begun },
  handler: (context) => {
    const { body, caller, change, checkVersion, now } = context
    const { confirmsDrift, ...asked } = body
    const place = placeOf(context)
    return change(`coexistence.switched-${body.state}`, async (tx) => {
      const before = await readSwitch(tx, place)
      checkVersion(before.version)
      // Mail would go out under old names again, or under new ones that nobody rewrites back (AZ-6).
      if (body.state === 'off' && isOn(before)) demandFreshness(caller, now)
      const setting = settingOf(asked, before.setting)
      const author = callerName(callerOf(caller))
      const how = { author, at: new Date(now), ifVersion: before.version, confirmsDrift }
      const after = await setCoexistence(tx, place, setting, how)
      return {
        answer: await answerOf(tx, place, after, 202),
        object: place.project,
        before: before.setting,
        after: after.setting,
        details: {
          from: before.state,
          to: after.state,
          ...detailsOf(after),
          ...(confirmsDrift ? { confirmsDrift } : {}),
        },
      }
    })
  },
})

const stopRoute = route({
  method: 'post',
  path: `${BASE}/stop`,
  id: 'stopCoexistence',
  summary: 'Emergency stop: the rules off now, whatever is under way',
  description:
    'Restores native mail flow at once; connectors and groups follow as with any off. Needs no fresh sign-in (AZ-6). Where it is off already nothing happens.',
  tag,
  access: 'coexistence.stop',
  params: projectParams,
  body: z
    .strictObject({ reason: readableText(1, 500).meta({ description: 'For those who come later.' }) })
    .meta({ id: 'CoexistenceStop' }),
  responses: { 200: { description: 'It was off', schema: coexistenceSchema }, 202: begun },
  handler: (context) => {
    const { body, caller, change, now } = context
    const place = placeOf(context)
    return change('coexistence.stopped', async (tx) => {
      const before = await readSwitch(tx, place)
      const author = callerName(callerOf(caller))
      const after = await emergencyStop(tx, place, { author, at: new Date(now), reason: body.reason })
      return {
        answer: await answerOf(tx, place, after, before.version === after.version ? 200 : 202),
        object: place.project,
        before: before.setting,
        after: after.setting,
        details: { from: before.state, to: after.state, ...detailsOf(after), reason: body.reason },
      }
    })
  },
})

const readFreeBusyRoute = route({
  method: 'get',
  path: '/projects/{project}/free-busy',
  id: 'readFreeBusy',
  summary: 'Read the free/busy switch',
  tag,
  access: 'coexistence.read',
  params: projectParams,
  responses: { 200: { description: 'The switch', schema: freeBusySchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const place = placeOf(context)
      return freeBusyAnswer(tx, place, await readSwitch(tx, place), 200)
    }),
})

const setFreeBusyRoute = route({
  method: 'put',
  path: '/projects/{project}/free-busy',
  id: 'setFreeBusy',
  summary: 'Switch free/busy between the tenants on or off',
  description:
    'An organization relationship in each tenant; one that is there is extended, and put back. Members that are left out stay as they are. Shares its ETag with `…/coexistence`.',
  tag,
  access: 'coexistence.switch',
  params: projectParams,
  body: freeBusyBody,
  ifMatch: 'needed',
  responses: { 202: { description: 'Begun: see Location for its progress', schema: freeBusySchema } },
  handler: (context) => {
    const { body, caller, change, checkVersion, now } = context
    const place = placeOf(context)
    return change(`free-busy.switched-${body.state}`, async (tx) => {
      const before = await readSwitch(tx, place)
      checkVersion(before.version)
      const author = callerName(callerOf(caller))
      const how = { author, at: new Date(now), ifVersion: before.version, confirmsDrift: body.confirmsDrift }
      const after = await setFreeBusy(tx, place, freeBusyOf(body, before.freeBusy), how)
      return {
        answer: await freeBusyAnswer(tx, place, after, 202),
        object: place.project,
        before: before.freeBusy,
        after: after.freeBusy,
        details: { from: before.freeBusyState, to: after.freeBusyState, ...detailsOf(after) },
      }
    })
  },
})

const isOn = ({ setting, state }: SwitchView): boolean => setting.state === 'on' || state !== 'off'
const detailsOf = ({ operation, version }: SwitchView): Record<string, unknown> => ({ version, operation })

async function answerOf(tx: Tx, place: ProjectPlace, view: SwitchView, status: 200 | 202): Promise<Answer> {
  return answer(view, status, shapeCoexistence(view, await listTransitions(tx, place, MAX_TRANSITIONS, 'coexistence')))
}

async function freeBusyAnswer(tx: Tx, place: ProjectPlace, view: SwitchView, status: 200 | 202): Promise<Answer> {
  return answer(view, status, shapeFreeBusy(view, await listTransitions(tx, place, MAX_TRANSITIONS, 'free-busy')))
}

const answer = ({ version, operation }: SwitchView, status: 200 | 202, body: object): Answer => ({
  status,
  body,
  version,
  ...(status === 202 && operation !== undefined ? { headers: { Location: operationUrl(operation) } } : {}),
})
