// What all workers of a relay say of their mail, as the relay's. What isn't understood, from a worker of another revision, counts nothing. Pure.
import type { RelayCondition } from '../mapping/report.ts'

export function sumOfFigures(answers: readonly unknown[]): Pick<RelayCondition, 'queue' | 'certificateNotAfter'> {
  const all = answers.map(parseFigures)
  const sum = (key: 'messages' | 'quarantined' | 'dead') => all.reduce((total, each) => total + each[key], 0)
  const ends = all.flatMap(({ certificateNotAfter }) => certificateNotAfter ?? [])
  return {
    queue: {
      messages: sum('messages'),
      oldestAgeMs: Math.max(0, ...all.map(({ oldestAgeMs }) => oldestAgeMs)),
      quarantined: sum('quarantined'),
      dead: sum('dead'),
    },
    certificateNotAfter: ends.length === 0 ? undefined : Math.min(...ends),
  }
}

function parseFigures(answer: unknown) {
  const members = typeof answer === 'object' && answer !== null ? (answer as Partial<Record<string, unknown>>) : {}
  const count = (key: string): number => {
    const value = members[key]
    return typeof value === 'number' && Number.isFinite(value) ? value : 0
  }
  const end = members['certificateNotAfter']
  return {
    messages: count('messages'),
    oldestAgeMs: count('oldestAgeMs'),
    quarantined: count('quarantined'),
    dead: count('dead'),
    certificateNotAfter: typeof end === 'number' && Number.isFinite(end) ? end : undefined,
  }
}
