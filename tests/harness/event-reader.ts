// Reads server-sent events as a client does: one after another, with ids, over a connection that the test can cut.
export interface ReadEvent {
  readonly id: string
  readonly type: string
  readonly data: any // oxlint-disable-line typescript/no-explicit-any -- tests look into it
}

export interface EventReader {
  readonly status: number
  readonly headers: Headers
  /** The next event; undefined when the server has ended the stream. @throws after 10 s without one */
  next(): Promise<ReadEvent | undefined>
  close(): void
}

const PATIENCE_MS = 10_000

export async function readEvents(url: string, headers: Readonly<Record<string, string>>): Promise<EventReader> {
  const cut = new AbortController()
  const response = await fetch(url, { headers, signal: cut.signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return {
    status: response.status,
    headers: response.headers,
    async next() {
      const timer = setTimeout(() => cut.abort(new Error('no event came')), PATIENCE_MS)
      try {
        for (;;) {
          const end = text.indexOf('\n\n')
          if (end !== -1) {
            const event = parseEvent(text.slice(0, end))
            text = text.slice(end + 2)
            if (event !== undefined) return event
            continue
          }
          const chunk = await reader?.read()
          if (chunk === undefined || chunk.done) return undefined
          text += chunk.value
        }
      } finally {
        clearTimeout(timer)
      }
    },
    close: () => cut.abort(),
  }
}

/** undefined for a comment or `retry:` alone. */
function parseEvent(block: string): ReadEvent | undefined {
  const fields = new Map(
    block.split('\n').map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1).trimStart()]
    }),
  )
  const data = fields.get('data')
  if (data === undefined) return undefined
  return { id: fields.get('id') ?? '', type: fields.get('event') ?? '', data: JSON.parse(data) }
}
