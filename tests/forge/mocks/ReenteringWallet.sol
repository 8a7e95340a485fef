// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice A wallet that calls whoever asks for its signature, and signs if that answers with the error it waits for.
contract ReenteringWallet is IERC1271 {
    address private target;
    bytes private data;
    bytes4 private awaited;

    function reenter(address target_, bytes calldata data_, bytes4 awaited_) external {
        (target, data, awaited) = (target_, data_, awaited_);
    }

    // forge-lint: disable-next-item(unsafe-typecast)
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        (bool done, bytes memory answer) = target.staticcall(data);
        return !done && bytes4(answer) == awaited ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
