// The mapping table: entries, rules, revisions, imports and exports. What changes a table has a project of its own each time.
import { ANY, done, nothing } from './world.ts'
import type { Example, Examples, World } from './world.ts'

const fresh = async ({ api, organisation }: World) => ({ project: await api.project(organisation, 'Mapped') })

const entry = (name = 'ann') => ({
  known: [`${name}@src.example`, `${name}@tgt.example`],
  presented: `${name}@tgt.example`,
  mailbox: `${name}@src.example`,
})

async function mapped(world: World): Promise<{ project: string; mapping: string }> {
  const { project } = await fresh(world)
  const { id } = await done(world, 'POST', `/projects/${project}/mappings`, entry())
  // Another one, so that the first can go without confirmation.
  await done(world, 'POST', `/projects/${project}/mappings`, entry('bob'))
  return { project, mapping: id as string }
}

async function ruled(world: World, path: string, body: unknown): Promise<{ project: string; rule: string }> {
  const { project } = await fresh(world)
  const { id } = await done(world, 'POST', `/projects/${project}/mappings/${path}`, body)
  return { project, rule: id as string }
}

const RULES = {
  'domain-rules': { from: 'old.example', to: 'new.example' },
  wildcards: { from: '*.old.example', to: 'new.example' },
  exceptions: { address: 'postmaster@old.example' },
}

const onRule =
  (path: keyof typeof RULES, example: Example = {}) =>
  async (world: World): Promise<Example> => ({ ...example, params: await ruled(world, path, RULES[path]) })

const creating =
  (path: keyof typeof RULES) =>
  async (world: World): Promise<Example> => ({ params: await fresh(world), body: RULES[path] })

export const MAPPING_EXAMPLES: Examples = {
  importMappings: async (world) => ({
    params: await fresh(world),
    headers: { ...ANY, 'Content-Type': 'text/csv' },
    body: 'presented,mailbox,known\nann@tgt.example,ann@src.example,ann@src.example;ann@tgt.example\n',
  }),
  exportMappings: async (world) => ({ params: await fresh(world), audits: ['done'] }),
  exportMappingsCsv: async (world) => ({ params: await fresh(world), audits: ['done'] }),
  listDomainRules: nothing,
  createDomainRule: creating('domain-rules'),
  getDomainRule: onRule('domain-rules'),
  replaceDomainRule: onRule('domain-rules', { headers: ANY, body: { from: 'old.example', to: 'newer.example' } }),
  deleteDomainRule: onRule('domain-rules', { headers: ANY }),
  listWildcards: nothing,
  createWildcard: creating('wildcards'),
  getWildcard: onRule('wildcards'),
  replaceWildcard: onRule('wildcards', { headers: ANY, body: { from: '*.old.example', to: 'newer.example' } }),
  deleteWildcard: onRule('wildcards', { headers: ANY }),
  listMappingExceptions: nothing,
  createMappingException: creating('exceptions'),
  getMappingException: onRule('exceptions'),
  replaceMappingException: onRule('exceptions', { headers: ANY, body: { address: 'abuse@old.example' } }),
  deleteMappingException: onRule('exceptions', { headers: ANY }),
  listMappings: nothing,
  createMapping: async (world) => ({ params: await fresh(world), body: entry() }),
  changeMappings: async (world) => ({ params: await fresh(world), headers: ANY, body: { upsert: [entry()] } }),
  getMapping: async (world) => ({ params: await mapped(world) }),
  replaceMapping: async (world) => ({
    params: await mapped(world),
    headers: ANY,
    body: { ...entry(), known: [...entry().known, 'ann.other@src.example'] },
  }),
  deleteMapping: async (world) => ({ params: await mapped(world), headers: ANY }),
  lookUpMapping: () => ({ query: 'address=ann%40tgt.example' }),
  previewRewriting: () => ({
    query: 'direction=out',
    headers: { 'Content-Type': 'message/rfc822' },
    body: 'From: ann@src.example\r\n\r\nHello\r\n',
  }),
  listMappingRevisions: nothing,
  getMappingRevision: async (world) => ({ params: { ...(await mapped(world)), revision: '1' } }),
  compareMappingRevisions: async (world) => ({ params: { ...(await mapped(world)), revision: '2' } }),
  restoreMappingRevision: async (world) => ({ params: { ...(await mapped(world)), revision: '1' }, headers: ANY }),
}
