import { expect, test } from 'vitest'
import { formatTopicKey, parseTopicKey } from './topic.ts'

test.each([
  [{ name: 'room', private: false }, 'public:room'],
  [{ name: 'room', private: true }, 'private:room'],
  [{ name: '', private: false }, 'public:'],
  [{ name: 'private:a:b', private: false }, 'public:private:a:b'],
])('a topic key is one text, and read from it again: %j', (key, text) => {
  expect(formatTopicKey(key)).toBe(text)
  expect(parseTopicKey(text)).toEqual(key)
})
