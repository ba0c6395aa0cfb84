// Figures that come from one look are collected at once, each by itself: whoever asks while a look is under way gets that look. Without it a figure
// that another one sets would be that of the collection before.

export function sharedLook<T>(look: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined
  return () => {
    underWay ??= look().finally(() => (underWay = undefined))
    return underWay
  }
}
