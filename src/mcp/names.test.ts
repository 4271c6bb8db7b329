import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { McpServerConfig } from '../contracts/config-mcp.ts'
import { decodedHeader, headerValue } from './envelope.ts'
import { placeOfName, placeOfUri, sharedUri, tagged, untagged } from './names.ts'
import { paramHeaders } from './param-headers.ts'
import { showResult } from './shown.ts'
import { toolHash } from './tool-hash.ts'

const servers = [
  { name: 'github', prefix: 'gh_' },
  { name: 'local', prefix: 'local__' },
] as unknown as McpServerConfig[]

test('a name is that of the server whose prefix it has', () => {
  expect(placeOfName(servers, 'gh_create_issue')).toEqual({ server: 'github', name: 'create_issue' })
  expect(placeOfName(servers, 'local__gh_x')).toEqual({ server: 'local', name: 'gh_x' })
  for (const none of ['gh_', 'local_', 'create_issue', '']) expect(placeOfName(servers, none)).toBeNull()
})

test('a URI is that of the server before its first plus', () => {
  fc.assert(
    fc.property(fc.webUrl(), (uri) => {
      expect(placeOfUri(sharedUri('git-hub', uri))).toEqual({ server: 'git-hub', name: uri })
    }),
  )
  for (const none of ['', '+', '+x', 'a+', 'file:///x']) expect(placeOfUri(none)).toBeNull()
})

test('ids come back as they were, of the server that gave them', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.integer()), (id) => {
      expect(untagged(tagged('files', id))).toEqual({ server: 'files', id })
    }),
  )
  for (const none of ['files:n:1e3', 'files:n:', 'files:x:1', 'Files:n:1', 'n:1', 5, 'files:n:9007199254740993'])
    expect(untagged(none)).toBeNull()
})

describe('headers that repeat values', () => {
  test('carry any text (2026-07-28, value encoding)', () => {
    expect(headerValue('us-west1')).toBe('us-west1')
    expect(headerValue('Hello, 世界')).toBe('=?base64?SGVsbG8sIOS4lueVjA==?=')
    expect(headerValue(' padded ')).toBe('=?base64?IHBhZGRlZCA=?=')
    expect(headerValue('line1\nline2')).toBe('=?base64?bGluZTEKbGluZTI=?=')
    expect(headerValue('=?base64?literal?=')).toBe('=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=')
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        fc.pre(text.isWellFormed())
        const value = headerValue(text)
        expect(value).toMatch(/^[\t\x20-\x7e]*$/)
        expect(decodedHeader(value)).toBe(text)
      }),
    )
    expect(decodedHeader('=?base64?%?=')).toBeNull()
  })

  test('are those that the tool’s schema marks, wherever they are', () => {
    const inputSchema = {
      properties: {
        region: { type: 'string', 'x-mcp-header': 'Region' },
        nested: { properties: { deep: { type: 'boolean', 'x-mcp-header': 'Deep' } } },
        bad: { 'x-mcp-header': 'no blanks' },
        list: { 'x-mcp-header': 'List' },
      },
    }
    const args = { region: 'eu', nested: { deep: true }, bad: 'x', list: [1], __proto__: { region: 'us' } }
    expect(paramHeaders({ inputSchema }, args)).toEqual(['mcp-param-region', 'eu', 'mcp-param-deep', 'true'])
    expect(paramHeaders({ inputSchema }, { nested: null })).toEqual([])
    expect(paramHeaders({}, undefined)).toEqual([])
  })
})

test('a tool’s look is all that a model is told of it, in any order', () => {
  const tool = {
    name: 'a',
    description: 'd',
    inputSchema: { type: 'object', properties: { x: {}, y: [1, { b: 1, a: 2 }] } },
  }
  const same = {
    inputSchema: { properties: { y: [1, { a: 2, b: 1 }], x: {} }, type: 'object' },
    description: 'd',
    name: 'a',
    _meta: { at: 5 },
    icons: [],
  }
  expect(toolHash(same)).toBe(toolHash(tool))
  for (const change of [
    { description: 'e' },
    { annotations: {} },
    { title: 't' },
    { inputSchema: {} },
    { outputSchema: {} },
  ])
    expect(toolHash({ ...tool, ...change })).not.toBe(toolHash(tool))
})

test('URIs in answers name their server; answers without any stay what they are', () => {
  const link = { type: 'resource_link', uri: 'memo://1', name: 'm' }
  const embedded = { type: 'resource', resource: { uri: 'memo://2', text: 't' } }
  const text = { type: 'text', text: 'memo://3' }
  expect(showResult('s', 'tools/call', { content: [text, link, embedded], isError: false })).toEqual({
    content: [text, { ...link, uri: 's+memo://1' }, { ...embedded, resource: { uri: 's+memo://2', text: 't' } }],
    isError: false,
  })
  expect(showResult('s', 'prompts/get', { messages: [{ role: 'user', content: embedded }] })).toEqual({
    messages: [{ role: 'user', content: { type: 'resource', resource: { uri: 's+memo://2', text: 't' } } }],
  })
  expect(showResult('s', 'resources/read', { contents: [{ uri: 'memo://1', text: '' }] })).toEqual({
    contents: [{ uri: 's+memo://1', text: '' }],
  })
  for (const result of [{ content: [text] }, { content: 'x' }, {}, { content: [null, 5] }])
    expect(showResult('s', 'tools/call', result)).toBeNull()
})
