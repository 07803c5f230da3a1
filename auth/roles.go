package auth

// Role is what somebody is in the whole service.
type Role string

// The roles. Each stands for itself: an administrator who is to moderate has
// both, and every account has RoleUser.
const (
	RoleUser      Role = "user"
	RoleModerator Role = "moderator"
	RoleAdmin     Role = "admin"
	RoleService   Role = "service" // another program
)

// Known reports whether the role is one of those above.
func (r Role) Known() bool {
	switch r {
	case RoleUser, RoleModerator, RoleAdmin, RoleService:
		return true
	}
	return false
}

// RoomRole is what somebody is in one room.
type RoomRole string

// The roles in a room. The empty RoomRole is that of somebody who is not in it.
const (
	RoomOwner     RoomRole = "owner"
	RoomModerator RoomRole = "moderator"
	RoomMember    RoomRole = "member"
	RoomGuest     RoomRole = "guest"
	RoomBanned    RoomRole = "banned"
	RoomInvited   RoomRole = "invited" // asked to come, and not yet a member
	RoomVisitor   RoomRole = "visitor" // reads a public topic without being a member
)
