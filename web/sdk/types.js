/**
 * The wire's shapes, as docs/protocol.md has them. Types only.
 *
 * @typedef {'video' | 'audio' | 'text'} Mode
 * @typedef {'tags' | 'language' | 'anyone'} Reach
 *
 * @typedef {object} User
 * @property {string} id
 * @property {string} name
 * @property {boolean} guest
 *
 * @typedef {object} Limits
 * @property {number} message_bytes
 * @property {number} signal_bytes
 * @property {number} candidate_bytes
 * @property {number} chat_chars
 * @property {number} tags
 * @property {number} languages
 * @property {number} name_chars
 *
 * @typedef {{after_ms: number, reach: Reach}} Widen
 *
 * @typedef {object} Pool
 * @property {string} name
 * @property {Mode} mode
 * @property {string[]} traits
 * @property {boolean} relay_only
 * @property {Widen[]} schedule
 *
 * @typedef {object} Ice
 * @property {RTCIceServer[]} servers
 * @property {number} ttl_ms
 * @property {'all' | 'relay'} policy
 *
 * @typedef {object} Welcome
 * @property {string} sid
 * @property {string} node
 * @property {string} server
 * @property {User} user
 * @property {string} [guest]
 * @property {{token: string, ttl_ms: number}} resume
 * @property {number} ping_ms
 * @property {Limits} limits
 * @property {string[]} features
 * @property {Pool[]} pools
 * @property {Ice} [ice]
 *
 * @typedef {object} Resumed
 * @property {string} sid
 * @property {string} node
 * @property {number} seq
 * @property {number} replayed
 * @property {boolean} [resync]
 * @property {{token: string, ttl_ms: number}} resume
 * @property {number} ping_ms
 * @property {Ice} [ice]
 * @property {State} [state]
 *
 * @typedef {object} State
 * @property {User} user
 * @property {Limits} limits
 * @property {string[]} features
 * @property {Pool[]} pools
 * @property {Waiting | null} match
 * @property {RoomState | null} room
 *
 * @typedef {object} Wish what `find` looks for; every field may be absent
 * @property {string} [pool]
 * @property {string[]} [tags]
 * @property {string[]} [languages]
 * @property {string} [trait]
 * @property {string[]} [want]
 * @property {boolean} [strict]
 * @property {boolean} [relay]
 *
 * @typedef {object} Waiting how a search stands
 * @property {string} pool
 * @property {number} waited_ms
 * @property {Reach} reach
 * @property {Widen | null} next
 * @property {number} waiting
 * @property {number | null} estimate_ms
 *
 * @typedef {object} PeerInfo
 * @property {string} id
 * @property {string} name
 * @property {number} since
 * @property {'here' | 'away'} [state]
 * @property {string} [picture] name of the picture, for `Account.picture`
 *
 * @typedef {object} Found
 * @property {string} pool
 * @property {Mode} mode
 * @property {string} you
 * @property {PeerInfo} peer
 * @property {boolean} offerer
 * @property {boolean} polite
 * @property {{tags?: string[], language?: string}} shared
 * @property {boolean} relay_only
 * @property {number} waited_ms
 * @property {Ice} [ice]
 *
 * @typedef {object} RoomState
 * @property {string} room
 * @property {'matched' | 'named'} kind
 * @property {string} [name]
 * @property {Mode} mode
 * @property {number} capacity
 * @property {string} you
 * @property {PeerInfo[]} peers
 * @property {boolean} relay_only
 * @property {ChatPage & {off?: number}} chat
 * @property {Ice} [ice]
 * @property {Found | null} [match]
 *
 * @typedef {object} RoomInfo
 * @property {string} room
 * @property {string} name
 * @property {Mode} mode
 * @property {number} members
 * @property {number} capacity
 * @property {boolean} passcode
 *
 * @typedef {object} ChatMessage
 * @property {number} off
 * @property {string} from
 * @property {string} name
 * @property {string} cid
 * @property {string} text
 * @property {number} at
 *
 * @typedef {{messages: ChatMessage[], more: boolean}} ChatPage
 *
 * @typedef {object} Stats
 * @property {number} online
 * @property {{name: string, waiting: number, estimate_ms: number | null}[]} pools
 *
 * @typedef {{audio: boolean, video: boolean, screen: boolean}} MediaState what somebody sends now
 *
 * @typedef {object} Push
 * @property {string} t
 * @property {number} [seq]
 * @property {string} [room]
 * @property {string} [from]
 * @property {string} [kind]
 * @property {number} [n] of a signal: its sender's number
 * @property {any} d
 *
 * @typedef {'ice-timeout' | 'ice-disconnected' | 'dtls' | 'media-denied' | 'no-turn' | 'peer-left' | 'other'} FailReason
 *
 * Conversations (docs/protocol.md, section 11); times are Unix milliseconds.
 *
 * @typedef {'direct' | 'group' | 'topic'} ConvKind
 * @typedef {'owner' | 'moderator' | 'member' | 'invited' | 'left' | 'banned'} ConvRole
 * @typedef {'everyone' | 'members' | 'moderators'} ConvWriters
 *
 * @typedef {object} ConvInfo what readers see of a conversation
 * @property {string} id
 * @property {ConvKind} kind
 * @property {string} [name]
 * @property {string} [about]
 * @property {string} [language]
 * @property {string[]} [tags]
 * @property {ConvWriters} writers
 * @property {number} [slow_s]
 * @property {number} [retention_s]
 * @property {boolean} guests
 * @property {boolean} passcode
 * @property {number} members
 * @property {number} seq
 * @property {number} rev
 * @property {number} [oldest]
 * @property {number} created_at
 * @property {number} active_at
 * @property {boolean} [deleted]
 *
 * @typedef {object} ConvPerson
 * @property {string} id
 * @property {string} name
 * @property {boolean} [guest]
 * @property {ConvRole} role
 * @property {number} joined_at
 * @property {number} rev
 * @property {number} delivered
 * @property {number} read
 *
 * @typedef {object} ConvFile served at `/api/v1/files/{id}`
 * @property {string} id
 * @property {string} name
 * @property {string} type
 * @property {number} size
 * @property {number} [width]
 * @property {number} [height]
 *
 * @typedef {{emoji: string, count: number, by: string[]}} ConvReaction
 *
 * @typedef {object} ConvMessage
 * @property {number} seq its place for ever
 * @property {number} rev of its last change
 * @property {string} from
 * @property {string} name
 * @property {string} cid
 * @property {string} text
 * @property {number} [reply_to]
 * @property {number} [thread]
 * @property {number} [replies]
 * @property {string[]} [mentions]
 * @property {ConvFile[]} [files]
 * @property {ConvReaction[]} [reactions]
 * @property {boolean} [pinned]
 * @property {number} at
 * @property {number} [edited_at]
 * @property {number} [deleted_at]
 *
 * @typedef {object} ConvEvent
 * @property {string} room
 * @property {number} seq
 * @property {number} [after] of one that is told late: it comes after this one, and later ones hold what was between
 * @property {number} at
 * @property {string} [by]
 * @property {ConvMessage} [message]
 * @property {ConvPerson} [person]
 * @property {ConvInfo} [conversation]
 *
 * @typedef {ConvInfo & {me: ConvPerson, peer?: ConvPerson, last?: ConvMessage, unread: number}} ConvEntry
 *
 * @typedef {{seq: number, messages: ConvMessage[] | null, older: boolean, newer: boolean}} ConvHistory
 * @typedef {{seq: number, more?: boolean, reset?: boolean, messages: ConvMessage[] | null, people: ConvPerson[] | null, conversation?: ConvInfo}} ConvSync
 *
 * @typedef {object} ConvOpened
 * @property {ConvInfo} conversation
 * @property {ConvPerson} [me]
 * @property {ConvPerson[] | null} people
 * @property {number[] | null} pins
 * @property {ConvHistory} [history]
 * @property {ConvSync} [sync]
 * @property {number} unread
 * @property {number} online
 * @property {string[] | null} here
 *
 * @typedef {object} ConvCreate
 * @property {ConvKind} kind
 * @property {string} [with] user id or username, of a direct one
 * @property {string} [name]
 * @property {string} [about]
 * @property {string} [language]
 * @property {string[]} [tags]
 * @property {ConvWriters} [writers]
 * @property {number} [slow_s]
 * @property {number} [retention_s]
 * @property {boolean} [guests]
 * @property {string} [passcode]
 *
 * @typedef {{seq: number, rev: number, from?: string, text: string}} ConvTranslation
 * @typedef {{room: string, message: ConvMessage}} ConvHit
 */
export {};
