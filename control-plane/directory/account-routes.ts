// Accounts over HTTP: search and filter, one with its groups, its history, and what changed between two discoveries. (control-plane.md §2)
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { findDiscovery } from '../discovery/discovery-store.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { parseId } from '../ids.ts'
import { existingTenant, placeOf } from '../tenants/consent-routes.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { ACCOUNT_KINDS, GROUP_KINDS, matchKey } from './account.ts'
import {
  accountDetailSchema,
  accountSchema,
  changeSchema,
  shapeAccount,
  shapeChange,
  shapeVersion,
  versionSchema,
} from './account-shape.ts'
import { findAccount, groupsOf, listAccounts, listChanges, listVersions } from './account-store.ts'
import type { Account } from './account-store.ts'

const params = z.strictObject({ project: z.string() })
const oneParams = z.strictObject({ project: z.string(), account: z.string() })
const MAX_GROUPS_SHOWN = 1_000

export function accountRoutes(): AnyRoute[] {
  return [listRoute, readRoute, versionsRoute, membersRoute, changesRoute]
}

const listRoute = route({
  method: 'get',
  path: '/projects/{project}/accounts',
  id: 'listAccounts',
  summary: 'List accounts of the tenants of a project, by display name',
  tag: 'directory',
  access: 'directory.read',
  params,
  query: z.strictObject({
    ...pageQuery,
    tenant: z.string().optional().meta({ description: 'Only of this one.' }),
    kind: z.enum(ACCOUNT_KINDS).optional(),
    search: z
      .string()
      .min(1)
      .max(320)
      .refine((text) => !text.includes('\0'), 'no NUL')
      .optional()
      .meta({ description: 'The beginning of a display name, or of an address.' }),
    synced: z.enum(['true', 'false']).optional().meta({ description: 'Written by an on-premises directory, or not.' }),
  }),
  responses: { 200: { description: 'Accounts', schema: pageOf(accountSchema) } },
  handler: ({ read, organisation, project, query, url }) =>
    read(async (tx) => {
      const request = parsePage(query, 2)
      const place = placeOf(organisation, project)
      const filter = {
        tenant: query.tenant === undefined ? undefined : (await existingTenant(tx, place, query.tenant)).id,
        kind: query.kind,
        search: query.search === undefined ? undefined : matchKey(query.search),
        isSynced: query.synced === undefined ? undefined : query.synced === 'true',
      }
      const rows = await listAccounts(tx, place, filter, request)
      return { status: 200, body: toPage(rows, request.limit, shapeAccount, byName, url) }
    }),
})

const byName = ({ sortKey, id }: Account) => [sortKey, id]

const readRoute = route({
  method: 'get',
  path: '/projects/{project}/accounts/{account}',
  id: 'readAccount',
  summary: 'Read an account, with the groups that it is in',
  tag: 'directory',
  access: 'directory.read',
  params: oneParams,
  responses: { 200: { description: 'The account', schema: accountDetailSchema } },
  handler: ({ read, organisation, project, params: { account: text } }) =>
    read(async (tx) => {
      const place = placeOf(organisation, project)
      const account = await existingAccount(tx, place, text)
      const groups = await groupsOf(tx, place, account, MAX_GROUPS_SHOWN)
      return { status: 200, body: { ...shapeAccount(account), groups } }
    }),
})

const versionsRoute = route({
  method: 'get',
  path: '/projects/{project}/accounts/{account}/versions',
  id: 'listAccountVersions',
  summary: 'List what an account was, the newest first',
  tag: 'directory',
  access: 'directory.read',
  params: oneParams,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'Versions', schema: pageOf(versionSchema) } },
  handler: ({ read, organisation, project, params: { account: text }, query, url }) =>
    read(async (tx) => {
      const request = parsePage(query, 1)
      const place = placeOf(organisation, project)
      const { id } = await existingAccount(tx, place, text)
      const rows = await listVersions(tx, place, id, request)
      return { status: 200, body: toPage(rows, request.limit, shapeVersion, ({ validFrom }) => [validFrom], url) }
    }),
})

const membersRoute = route({
  method: 'get',
  path: '/projects/{project}/accounts/{account}/members',
  id: 'listGroupMembers',
  summary: 'List the members of a group, by display name',
  description: 'Direct members that the discovery knows.',
  tag: 'directory',
  access: 'directory.read',
  params: oneParams,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'Members', schema: pageOf(accountSchema) } },
  handler: ({ read, organisation, project, params: { account: text }, query, url }) =>
    read(async (tx) => {
      const request = parsePage(query, 2)
      const place = placeOf(organisation, project)
      const { tenant, snapshot } = await existingAccount(tx, place, text)
      if (!GROUP_KINDS.includes(snapshot.kind)) throw notFound()
      const rows = await listAccounts(tx, place, { tenant, memberOf: snapshot.objectId }, request)
      return { status: 200, body: toPage(rows, request.limit, shapeAccount, byName, url) }
    }),
})

const changesRoute = route({
  method: 'get',
  path: '/projects/{project}/discoveries/{discovery}/changes',
  id: 'listDiscoveryChanges',
  summary: 'List what changed in a tenant up to this discovery',
  description: 'Since the one before, or since the one that `since` names.',
  tag: 'directory',
  access: 'directory.read',
  params: z.strictObject({ project: z.string(), discovery: z.string() }),
  query: z.strictObject({
    ...pageQuery,
    since: z.string().optional().meta({ description: 'An earlier discovery of the same tenant.' }),
  }),
  responses: { 200: { description: 'Changes', schema: pageOf(changeSchema) } },
  handler: ({ read, organisation, project, params: { discovery: text }, query, url }) =>
    read(async (tx) => {
      const request = parsePage(query, 1)
      const place = placeOf(organisation, project)
      const later = await existingDiscovery(tx, place, text)
      if (later === undefined) throw notFound()
      const earlier = query.since === undefined ? undefined : await existingDiscovery(tx, place, query.since)
      const isOfSame = earlier?.tenant === later.tenant && earlier.number < later.number
      if (query.since !== undefined && !isOfSame)
        throw badRequest([
          { pointer: '/query/since', code: 'custom', detail: 'not an earlier discovery of the same tenant' },
        ])
      const range = { tenant: later.tenant, from: earlier?.number ?? later.number - 1, to: later.number }
      const rows = await listChanges(tx, place, range, request)
      return { status: 200, body: toPage(rows, request.limit, shapeChange, ({ id }) => [id], url) }
    }),
})

async function existingDiscovery(tx: Tx, place: ProjectPlace, text: string) {
  const id = parseId('discovery', text)
  return id && findDiscovery(tx, place, id)
}

async function existingAccount(tx: Tx, place: ProjectPlace, text: string): Promise<Account> {
  const id = parseId('account', text)
  const account = id && (await findAccount(tx, place, id))
  if (account === undefined) throw notFound()
  return account
}
