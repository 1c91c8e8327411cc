"""The message types that rosbags are read and written with: ROS 2's and our own, without a ROS installation."""

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TARGET = "tpf_interfaces/msg/TrackedTarget"

# tpf_interfaces/msg/TrackedTarget.msg, which says what each field means; a test compares them.
_TARGET_DEFINITION = """
std_msgs/Header header
uint8 IDLE = 0
uint8 TRACKING = 1
uint8 COASTING = 2
uint8 LOST = 3
uint8 ERROR = 4
uint8 state
uint32 id
float64 x
float64 y
float64 width
float64 height
float64 x_norm
float64 y_norm
float64 width_norm
float64 height_norm
float64 bearing_x
float64 bearing_y
float64 angular_width
float64 angular_height
float32 confidence
builtin_interfaces/Time visible_stamp
builtin_interfaces/Time thermal_stamp
float64 sync_error
uint8 HEALTH_OK = 0
uint8 HEALTH_SILENT = 1
uint8 HEALTH_BLACK = 2
uint8 HEALTH_FROZEN = 3
uint8 HEALTH_SATURATED = 4
uint8 visible_health
uint8 thermal_health
float64 latency
"""

# Of Humble, because bags of older releases than Iron do not carry their message definitions.
TYPES = get_typestore(Stores.ROS2_HUMBLE)
TYPES.register(get_types_from_msg(_TARGET_DEFINITION, TARGET))


def make_header(stamp: int, frame_id: str):
    """A std_msgs/Header; `stamp` in ns, 0 <= stamp < 2**31 s."""
    time = TYPES.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
    return TYPES.types["std_msgs/msg/Header"](time, frame_id)
