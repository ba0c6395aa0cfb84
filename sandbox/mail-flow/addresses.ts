// The addr-specs in the value of From, Sender, To or Cc (RFC 5322 §3.4): display names, comments, quoted strings, groups and source routes, in one
// pass. What is no address is left out; nothing is decoded, for an addr-spec is never an encoded word.

/** Each as `local@domain`, local part as written, domain in lower case. */
export function addressesIn(value: string): readonly string[] {
  const found: string[] = []
  let text: string[] = []
  let angle: string[] | undefined
  let comments = 0
  let isQuoted = false
  /** After the bracket, until the comma, nothing is part of an address. */
  let isDone = false

  const end = () => {
    const address = isDone ? undefined : addressOf((angle ?? text).join(''))
    if (address !== undefined) found.push(address)
    text = []
    angle = undefined
    isDone = false
  }
  for (let at = 0; at < value.length; at++) {
    const char = value.charAt(at)
    const into = angle ?? text
    if (char === '\\' && (isQuoted || comments > 0)) {
      at++
      if (comments === 0) into.push(char, value.charAt(at))
    } else if (comments > 0) {
      if (char === '(') comments++
      else if (char === ')') comments--
    } else if (char === '"') {
      isQuoted = !isQuoted
      into.push(char)
    } else if (isQuoted) into.push(char)
    else if (char === '(') comments = 1
    else if (char === '<') {
      angle = []
      isDone = false
    } else if (char === '>') {
      end()
      isDone = true
    } else if (char === ':' && angle === undefined) text = []
    else if (char === ':') angle = []
    else if (char === ';' || (char === ',' && angle?.[0] !== '@')) end()
    else into.push(char)
  }
  end()
  return found
}

function addressOf(written: string): string | undefined {
  const text = written.trim()
  const at = text.lastIndexOf('@')
  const local = text.slice(0, at).trim()
  const domain = text
    .slice(at + 1)
    .trim()
    .toLowerCase()
  const isLocal = /^"(?:[^"\\]|\\.)*"$/.test(local) || /^[^\s"<>]+$/.test(local)
  return at > 0 && isLocal && /^[^\s"<>@]+$/.test(domain) ? `${unquoted(local)}@${domain}` : undefined
}

/** `"alice"` is the same local part as `alice` (RFC 5321 §4.1.2). */
function unquoted(local: string): string {
  const inner = local.startsWith('"') ? local.slice(1, -1).replaceAll(/\\(.)/g, '$1') : local
  return /^[^\s"\\()<>[\]:;@,.]+(?:\.[^\s"\\()<>[\]:;@,.]+)*$/.test(inner) ? inner : local
}
