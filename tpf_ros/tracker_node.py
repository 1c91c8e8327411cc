"""The node's process: `main` runs the lifecycle node until SIGINT or SIGTERM and ends with exit code 0."""

import signal


def main(args: list[str] | None = None) -> None:
    """Run the node, in whatever state it is, until a signal comes."""
    # Before the imports, which take seconds. rclpy's handlers, installed over these, shut its context down; Python's
    # own would raise an exception wherever the program happens to be.
    received = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(number))

    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    from tpf_ros.lifecycle_node import TrackerNode

    if received:
        return
    rclpy.init(args=args)
    node = None
    try:
        node = TrackerNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if not received:
            executor.spin()
    except ExternalShutdownException:
        pass  # a signal
    except Exception:
        if rclpy.ok():
            raise
        # Else a call was cut short by the shutdown.
    finally:
        # A second signal, from someone impatient, must not break the ending off.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
