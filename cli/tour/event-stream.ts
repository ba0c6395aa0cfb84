// Reads server-sent events (HTML Living Standard §9.2) out of an answer's body: `data` of each, as JSON.

const MAX_EVENT_CHARACTERS = 1024 * 1024

/** Ends when the stream does. @throws when it breaks, or when an event is no JSON */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > MAX_EVENT_CHARACTERS) throw new Error('an event is too large')
    const blocks = text.split(/\r?\n\r?\n/)
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = block
        .split(/\r?\n/)
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5).trimStart())
        .join('\n')
      if (data !== '') yield JSON.parse(data) as Record<string, unknown>
    }
  }
}
