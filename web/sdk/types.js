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
 */
export {};
